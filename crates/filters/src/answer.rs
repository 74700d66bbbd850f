//! What one filter answers.

use mail::{EnhancedStatus, Reply};

use crate::verdict::Change;
use crate::words::reply_text;

/// A filter may want so many changes to one message.
pub(crate) const CHANGES_MAX: usize = 1000;

/// An answer, checked.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) decision: Decision,
    pub(crate) changes: Vec<Change>,
    pub(crate) class: Option<String>,
    pub(crate) hold: Option<String>,
    /// Why, for the log; empty if there is nothing to say.
    pub(crate) words: String,
}

/// What a filter decides.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Decision {
    #[default]
    Continue,
    /// It has seen enough: of the session if there is no transaction yet, else of that.
    Accept,
    Refuse(Reply),
    Discard,
}

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        Self { decision, ..Self::default() }
    }
}

/// The reply that refuses for good what a filter gives no words for.
pub(crate) fn rejected() -> Reply {
    Reply::new(550, Some(EnhancedStatus::new(5, 7, 1)), "refused by a filter")
}

/// The reply that refuses for now.
pub(crate) fn deferred() -> Reply {
    Reply::new(451, Some(EnhancedStatus::FILTERED), "refused by a filter for now; try again later")
}

/// A reply in a filter's words; none if the code is neither 4yz nor 5yz, or the status does not go with it.
pub(crate) fn reply(code: u16, status: Option<EnhancedStatus>, text: &str) -> Option<Reply> {
    let class = u8::try_from(code / 100).ok().filter(|class| matches!(class, 4 | 5))?;
    let is_right = status.is_none_or(|status| status.class() == class) && code % 100 < 60;
    let status = status.unwrap_or_else(|| EnhancedStatus::new(class, 7, 1));
    is_right.then(|| Reply::new(code, Some(status), reply_text(text)))
}
