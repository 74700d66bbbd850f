//! What connections are opened with.

use resolver::{Dice, Resolver};
use units::Clock;

use crate::address::Address;
use crate::handshakes::Handshakes;
use crate::login::Logins;
use crate::rests::Rests;

/// What it takes to find a host and to come so far that it takes mail.
pub(crate) struct Means {
    pub(crate) hostname: Box<str>,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) resolver: Resolver,
    pub(crate) handshakes: Handshakes,
    pub(crate) logins: Logins,
    /// Hosts that could be talked to in clear text after TLS had failed.
    pub(crate) without_tls: Rests<Address>,
}
