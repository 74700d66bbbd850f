//! Where a message goes next.

use std::fmt;
use std::sync::Arc;

use crate::domain::Domain;

/// A next hop as the queue sees it: an outbound connector, and the recipient domain if the
/// connector goes by MX.
///
/// All mail for one destination shares its connections, its limits and its rests. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination(Arc<Parts>);

#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Parts {
    connector: Box<str>,
    domain: Option<Domain>,
}

impl Destination {
    /// The smart hosts of `connector`, whatever the recipient's domain.
    pub fn smart_host(connector: &str) -> Self {
        Self(Arc::new(Parts { connector: connector.into(), domain: None }))
    }

    /// The mail exchangers of `domain`, by `connector`.
    pub fn exchangers(connector: &str, domain: Domain) -> Self {
        Self(Arc::new(Parts { connector: connector.into(), domain: Some(domain) }))
    }

    /// The name of the outbound connector.
    pub fn connector(&self) -> &str {
        &self.0.connector
    }

    /// The domain whose exchangers are asked; none for smart hosts.
    pub fn domain(&self) -> Option<&Domain> {
        self.0.domain.as_ref()
    }
}

impl fmt::Display for Destination {
    /// `connector` or `connector/domain`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.connector)?;
        self.0.domain.as_ref().map_or(Ok(()), |domain| write!(out, "/{domain}"))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}
