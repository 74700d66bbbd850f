//! The settings of the spool.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// How content above `inline_octets_max` gets to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BodyIo {
    /// `io-uring` where the kernel allows it, else `threads`.
    #[default]
    Auto,
    /// One ring on its own thread; the relay does not start where the kernel refuses it.
    IoUring,
    /// A small pool of threads.
    Threads,
}

/// `[spool]`: where accepted mail rests, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of the spool. Made with mode 0700 if it is not there; one relay at a time may use it.
    pub path: PathBuf,
    /// Most messages held. At the limit new mail is refused with 452 4.3.1.
    pub messages_max: u64,
    /// Most octets of content held. At the limit new mail is refused with 452 4.3.1.
    pub octets_max: ByteSize,
    /// Free space that stays on the device. Below it new mail is refused with 452 4.3.1, so that what
    /// is held can still be settled and reported.
    pub free_octets_min: ByteSize,
    /// Largest content kept in the database itself; larger content goes to segment files.
    pub inline_octets_max: ByteSize,
    /// Size of a segment file. Each is allocated whole when it is begun.
    pub segment_octets: ByteSize,
    /// Memory for fresh messages, so that what goes out at once is not read back.
    pub warm_octets_max: ByteSize,
    /// Memory for content on its way to the device, all messages together. Beyond it content is
    /// written in smaller pieces and the sender waits for the device.
    pub in_flight_octets_max: ByteSize,
    /// How content above `inline_octets_max` is written: `auto`, `io-uring` or `threads`.
    pub body_io: BodyIo,
    /// Longest wait for the device at the end of a message. Then the sender hears 451 4.3.0 and the
    /// message is not kept.
    pub commit_wait_max: Span,
    /// Most settlements kept in memory while the device takes no writes; beyond it deliveries wait.
    pub unsaved_settlements_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/chasqui/spool"),
            messages_max: 1_000_000,
            octets_max: ByteSize::mib(50 << 10),
            free_octets_min: ByteSize::mib(512),
            inline_octets_max: ByteSize::kib(128),
            segment_octets: ByteSize::mib(64),
            warm_octets_max: ByteSize::mib(64),
            in_flight_octets_max: ByteSize::mib(64),
            body_io: BodyIo::Auto,
            commit_wait_max: Span::seconds(30),
            unsaved_settlements_max: 10_000,
        }
    }
}
