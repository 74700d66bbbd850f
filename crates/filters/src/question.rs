//! What one filter is asked.

use mail::ReversePath;

use crate::config::Stage;
use crate::facts::{Content, Facts, Recipient};

/// A question at one stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) stage: Stage,
    pub(crate) facts: &'a Facts,
    /// From MAIL on.
    pub(crate) transaction: Option<&'a Transaction>,
    /// At RCPT: the one it is about.
    pub(crate) recipient: Option<&'a Recipient>,
    /// Where a content is shown.
    pub(crate) content: Option<&'a Content>,
}

/// A mail transaction up to now.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) sender: ReversePath,
    pub(crate) parameters: Box<[Box<str>]>,
    /// Those that were not refused.
    pub(crate) recipients: Vec<Recipient>,
}
