//! What filters decided, and why.

use std::fmt;
use std::sync::Arc;

use mail::header::Edit;
use mail::{Address, Reply, ReversePath};

use crate::config::Stage;

/// What the filters together say of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// What filters said, in their order; the last one is about the filter that decided. Empty if all had nothing to
    /// say.
    pub notes: Vec<Note>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Action {
    /// Go on.
    #[default]
    Continue,
    /// Answer with this reply, 4yz or 5yz. Of 421 the connection ends too. At RCPT it is about this recipient alone, at
    /// MAIL and at the content about the message, at connect and HELO about the session.
    Refuse(Reply),
    /// Take the message as if all were well, and forget it. At MAIL and RCPT it is about the whole message, and
    /// what follows is answered the same.
    Discard,
}

/// What the filters together say of a message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ContentVerdict {
    /// What to do. What follows is of use if it goes on.
    pub action: Action,
    /// What to change, in this order: each filter has seen the header as the changes before its own left it.
    pub changes: Vec<Change>,
    /// The class that the message is of, as the last filter with an opinion says.
    pub class: Option<String>,
    /// Why the message is to be held, if it is.
    pub hold: Option<String>,
    /// As in [`Verdict`].
    pub notes: Vec<Note>,
}

impl ContentVerdict {
    /// The changes to the header, for [`mail::header::apply`].
    pub fn edits(&self) -> Vec<Edit> {
        self.changes.iter().filter_map(Change::edit).cloned().collect()
    }
}

/// A change to a message that a filter wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// To its header.
    Header(Edit),
    /// One more recipient.
    AddRecipient(Address),
    /// One recipient less; compared as [`Address`] compares. May name one that is not there.
    RemoveRecipient(Address),
    /// Another sender in the envelope.
    Sender(ReversePath),
}

impl Change {
    /// The change to the header, if it is one.
    pub const fn edit(&self) -> Option<&Edit> {
        match self {
            Self::Header(edit) => Some(edit),
            Self::AddRecipient(_) | Self::RemoveRecipient(_) | Self::Sender(_) => None,
        }
    }
}

/// What one filter said at one stage: for logs and explanations.
#[derive(Clone, PartialEq, Eq)]
pub struct Note {
    /// The filter's name.
    pub filter: Arc<str>,
    /// When it was asked.
    pub stage: Stage,
    /// What came of it, in words without control characters.
    pub words: String,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {}: {}", self.filter, self.stage.name(), self.words)
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}
