//! What states hold.

use mail::Recipient;
use smtp_codec::BdatDecoder;

use crate::server::step::Transaction;

/// How the client introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) name: Box<str>,
    pub(super) is_esmtp: bool,
}

/// Whether recipients were refused; it decides the reply to DATA without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    None,
    Some,
}

/// What a verdict is waited for, and what it is about.
#[derive(Debug)]
pub(super) enum Asked {
    Mail(Box<Transaction>),
    Recipient(Box<Transaction>, Recipient),
    Data(Box<Transaction>),
    Chunk(Box<Transaction>, Chunk),
    /// Back to where the session was, if the proxy is not believed; what it says that the client called itself.
    Client(Option<Hello>, Option<Box<str>>),
}

/// A chunk on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) octets: BdatDecoder,
    pub(super) is_last: bool,
}

pub(super) fn hello_of(transaction: &Transaction) -> Hello {
    Hello { name: transaction.helo.clone(), is_esmtp: transaction.is_esmtp }
}
