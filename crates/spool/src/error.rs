//! What the operations of the spool say when they fail, and the reply that a sender hears.

use mail::{EnhancedStatus, MessageId, Reply};

const SYSTEM_FULL: EnhancedStatus = EnhancedStatus::new(4, 3, 1);
const SYSTEM_FAULT: EnhancedStatus = EnhancedStatus::new(4, 3, 0);

/// The spool takes no message now; the words say which limit stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Full {
    /// Which limit was hit.
    pub cause: FullCause,
}

/// Which limit was hit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FullCause {
    /// `messages_max`.
    #[error("the spool holds its limit of {max} messages")]
    Messages {
        /// The limit.
        max: u64,
    },
    /// `octets_max`.
    #[error("the spool holds its limit of {max} octets")]
    Octets {
        /// The limit.
        max: u64,
    },
    /// `free_octets_min`, or no space at all.
    #[error("the device of the spool is short of space")]
    Device,
    /// The database takes no writes at present; it is tried again without help.
    #[error("the spool takes no writes at present")]
    Engine,
    /// The spool is being closed.
    #[error("the spool is closing")]
    Closing,
}

impl Full {
    /// 452 4.3.1 with the limit in words (RFC 5321 §4.2.3, RFC 3463 §3.4).
    pub fn reply(&self) -> Reply {
        Reply::new(452, Some(SYSTEM_FULL), format!("Insufficient system storage: {}", self.cause))
    }
}

impl From<FullCause> for Full {
    fn from(cause: FullCause) -> Self {
        Self { cause }
    }
}

/// Why content could not be taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No room: answer 452 and swallow the rest of the content.
    #[error(transparent)]
    Full(#[from] Full),
    /// The device failed: answer 451.
    #[error("content could not be written: {0}")]
    Device(Box<str>),
}

impl WriteError {
    /// What the sender hears.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Full(full) => full.reply(),
            Self::Device(_) => local_error(),
        }
    }
}

/// Why a message is not stored. After any of these nothing of it is kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// No room: answer 452.
    #[error(transparent)]
    Full(#[from] Full),
    /// Content or envelope could not be put on the device: answer 451.
    #[error("the message could not be stored: {0}")]
    Device(Box<str>),
    /// The device did not answer within `commit_wait_max`: answer 451.
    #[error("the device did not answer in time")]
    TimedOut,
}

impl CommitError {
    /// What the sender hears.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Full(full) => full.reply(),
            Self::Device(_) => local_error(),
            Self::TimedOut => Reply::new(
                451,
                Some(SYSTEM_FAULT),
                "Local error: the device did not answer in time, try again later",
            ),
        }
    }
}

impl From<WriteError> for CommitError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full(full) => Self::Full(full),
            WriteError::Device(words) => Self::Device(words),
        }
    }
}

fn local_error() -> Reply {
    Reply::new(
        451,
        Some(SYSTEM_FAULT),
        "Local error: the message could not be stored, try again later",
    )
}

/// Why a message could not be loaded.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The spool does not have it: forget it.
    #[error("the spool has no message {0}")]
    Missing(MessageId),
    /// Its record cannot be read; it has been set aside, counted and logged: forget it.
    #[error("message {0} is corrupt and was set aside")]
    Corrupt(MessageId),
    /// The database failed: try later.
    #[error("message {id} could not be read: {reason}")]
    Engine {
        /// The message.
        id: MessageId,
        /// What the database said.
        reason: Box<str>,
    },
}

/// Why content could not be read back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A part of the content does not match its checksum; the message has been set aside.
    #[error("the content of message {0} is corrupt and was set aside")]
    Corrupt(MessageId),
    /// The device failed: try later.
    #[error("the content of message {id} could not be read: {reason}")]
    Device {
        /// The message.
        id: MessageId,
        /// What the device said.
        reason: Box<str>,
    },
}

/// Why a settlement is not written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The database takes no writes and the settlement could not be kept for later: try again later.
    #[error("the settlement could not be kept: {0}")]
    Engine(Box<str>),
    /// The report could not be stored; nothing of the settlement was done: try again later.
    #[error("the report could not be stored: {0}")]
    Report(Box<str>),
    /// The report was to be a copy of a message whose content could not be read; nothing of the settlement was done.
    #[error("the copy could not be made: {0}")]
    Unreadable(ReadError),
}

/// Why the spool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be made, or a file in it cannot be written, renamed, synced and removed.
    #[error("the spool folder {path} cannot be used ({step})")]
    Folder {
        /// The folder.
        path: Box<str>,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error(
        "the spool folder {0} is in use by another process, most likely a running relay; stop that first"
    )]
    InUse(Box<str>),
    /// The folder belongs to a later version.
    #[error("the spool folder {path} has layout {found}, this version knows up to {known}")]
    Layout {
        /// The folder.
        path: Box<str>,
        /// The layout found.
        found: Box<str>,
        /// The newest layout known here.
        known: u32,
    },
    /// The database does not open.
    #[error("the spool database does not open: {0}")]
    Engine(Box<str>),
    /// `body_io = "io-uring"`, and the kernel refuses it.
    #[error("the kernel refuses io_uring: set body_io to \"auto\" or \"threads\"")]
    IoUring(#[source] std::io::Error),
    /// A thread could not be started.
    #[error("a thread of the spool could not be started")]
    Thread(#[source] std::io::Error),
}

/// Why the scan stopped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The database failed: what was not handed over is still stored.
    #[error("the spool could not be read: {0}")]
    Engine(Box<str>),
    /// Who was handed the messages wanted no more.
    #[error("the scan was stopped")]
    Stopped,
}
