//! What a listener knows of logins.

use std::net::IpAddr;
use std::sync::Arc;

use sasl::config::Offer;
use sasl::server::{Exchange, Facts, Step};
use sasl::{Authenticator, Identity};

use crate::config::Auth;

/// Logins as a listener takes them.
#[derive(Debug)]
pub(crate) struct Logins {
    authenticator: Arc<Authenticator>,
    offer: Offer,
    is_required: bool,
}

impl Logins {
    pub(crate) fn new(authenticator: Arc<Authenticator>, auth: &Auth) -> Self {
        Self { authenticator, offer: auth.offer(), is_required: auth.required }
    }

    /// Whether mail is taken from those only who have logged in.
    pub(crate) const fn is_required(&self) -> bool {
        self.is_required
    }

    /// Whether no login of `client` is looked at.
    pub(crate) fn is_banned(&self, client: IpAddr) -> bool {
        self.authenticator.client_ban(client).is_some()
    }

    /// Who the account called `name` is, on the word of a proxy.
    pub(crate) fn vouched(&self, name: &str) -> Option<Box<Identity>> {
        self.authenticator.vouched(name)
    }

    /// Begins a login with what stands behind AUTH.
    pub(crate) fn begin(&self, argument: &str, facts: Facts) -> (Exchange, Step) {
        Exchange::begin(&self.authenticator, argument, &self.offer, facts)
    }

    /// What EHLO names behind AUTH.
    pub(crate) fn mechanisms(&self, facts: &Facts) -> Box<str> {
        let offered = self.authenticator.offered(&self.offer, facts);
        let names: Vec<_> = offered.iter().map(|mechanism| mechanism.name()).collect();
        names.join(" ").into()
    }
}
