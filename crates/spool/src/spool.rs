//! The spool itself.
use std::sync::Arc;

use mail::{Accepted, MessageId};
use telemetry::Registry;
use units::Clock;

use crate::config::Config;
use crate::error::{Full, LoadError, OpenError, RecoverError, SettleError};
use crate::place::Place;
use crate::state::{Recovered, Recovery, Settlement};
use crate::stored::Stored;
use crate::writer::Writer;

/// The durable truth. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {
    inner: Arc<()>,
}

/// Whether the spool takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ready,
    /// It does not, for this reason.
    Refusing {
        /// In words.
        cause: Box<str>,
    },
}

/// What writes large content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyIoKind {
    /// One `io_uring`.
    IoUring,
    /// A pool of threads.
    Threads,
}

impl std::fmt::Display for BodyIoKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::IoUring => "io-uring",
            Self::Threads => "threads",
        })
    }
}

/// How much the spool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Messages held or being received.
    pub messages: u64,
    /// Octets of their content.
    pub octets: u64,
    /// Free octets on the device.
    pub free_octets: u64,
    /// Records set aside as corrupt since the start.
    pub corrupt: u64,
}

impl Spool {
    /// Opens the spool in `config.path`; blocks.
    pub fn open(
        _config: &Config,
        _clock: Clock,
        _random_seed: u64,
        _registry: &Registry,
    ) -> Result<Self, OpenError> {
        todo!()
    }
    /// Scans the envelopes; blocks.
    pub fn recover(&self, _each: &mut dyn FnMut(Recovered)) -> Result<Recovery, RecoverError> {
        todo!()
    }
    /// Takes a place for one message before its content comes.
    pub fn reserve(&self, _octets_declared: Option<u64>) -> Result<Place, Full> {
        todo!()
    }
    /// Begins a message.
    pub fn writer(&self, _place: Place) -> Writer {
        todo!()
    }
    /// Loads a message.
    pub async fn load(&self, _id: MessageId) -> Result<Stored, LoadError> {
        todo!()
    }
    /// Writes down what became of recipients.
    pub async fn settle(&self, _settlement: Settlement) -> Result<Option<Accepted>, SettleError> {
        todo!()
    }
    /// Whether it takes mail.
    pub fn health(&self) -> Health {
        todo!()
    }
    /// What writes large content.
    pub fn body_io(&self) -> BodyIoKind {
        todo!()
    }
    /// How much it holds.
    pub fn counts(&self) -> Counts {
        todo!()
    }
    /// Writes what is left and stops.
    pub async fn close(self) {
        todo!()
    }
}
