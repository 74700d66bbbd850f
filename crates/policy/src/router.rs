//! Which outbound connector takes a recipient.

use std::collections::HashMap;
use std::net::IpAddr;

use mail::{Address, Destination, Domain, EnhancedStatus, Reply};

use crate::config::{OutboundConnector, Protocol, SmartHost};

/// What fits into a socket address (unix(7)).
const UNIX_OCTETS_MAX: usize = 107;

/// The outbound connectors by recipient domain. Made once, shared by `Arc`.
#[derive(Clone, Debug)]
pub struct Router {
    connectors: Vec<OutboundConnector>,
    /// Exact domains, to the place of their connector.
    exact: HashMap<Box<str>, usize>,
    /// What stands behind `*.`, to the place of the connector.
    below: HashMap<Box<str>, usize>,
    /// The connector of `*`.
    others: Option<usize>,
    hostname: Option<Domain>,
}

/// No enabled outbound connector takes this recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no outbound connector takes mail for {0}")]
pub struct NoRoute(Box<str>);

impl NoRoute {
    /// What a client is told at RCPT: 550 5.4.4 (RFC 3463 §3.5).
    pub fn reply(&self) -> Reply {
        Reply::new(550, Some(EnhancedStatus::new(5, 4, 4)), self.to_string())
    }
}

/// Why connectors make no router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// A connector has no name.
    #[error("an outbound connector has no name")]
    NoName,
    /// Two connectors have one name.
    #[error("two outbound connectors are called `{0}`")]
    NameTwice(String),
    /// What stands in `recipient_domains` is no pattern.
    #[error(
        "`{pattern}` of outbound connector `{connector}` is not a domain, `*.` and a domain, or `*`"
    )]
    Pattern {
        /// The connector.
        connector: String,
        /// What stood there.
        pattern: String,
    },
    /// Two enabled connectors claim the same domain.
    #[error("`{pattern}` stands in the outbound connectors `{first}` and `{second}`")]
    PatternTwice {
        /// The pattern.
        pattern: String,
        /// The connector that had it first.
        first: String,
        /// The connector that also has it.
        second: String,
    },
    /// A smart host is neither a name nor an address.
    #[error(
        "smart host `{host}` of outbound connector `{connector}` is not a host name or address"
    )]
    Host {
        /// The connector.
        connector: String,
        /// What stood there.
        host: String,
    },
    /// Mail exchangers do not speak LMTP.
    #[error("outbound connector `{0}` speaks LMTP but has no `hosts`")]
    LmtpByMx(String),
    /// A login that any mail exchanger would get to see.
    #[error("outbound connector `{0}` has a `login` but no `hosts`")]
    LoginByMx(String),
}

enum Pattern {
    Exact(Box<str>),
    Below(Box<str>),
    Others,
}

impl Router {
    /// Makes the table.
    ///
    /// # Errors
    /// When names or domains clash or are malformed; the operator mends the settings.
    pub fn new(connectors: Vec<OutboundConnector>) -> Result<Self, RouterError> {
        let mut router = Self {
            connectors: Vec::new(),
            exact: HashMap::new(),
            below: HashMap::new(),
            others: None,
            hostname: None,
        };
        for connector in connectors {
            router.push(connector)?;
        }
        Ok(router)
    }

    /// Sets the domain that `postmaster` without a domain belongs to (RFC 5321 §4.5.1).
    #[must_use]
    pub fn with_hostname(self, hostname: Domain) -> Self {
        Self { hostname: Some(hostname), ..self }
    }

    /// The destination of a recipient.
    ///
    /// # Errors
    /// When no enabled connector takes its domain; refuse it at RCPT with [`NoRoute::reply`].
    pub fn route(&self, recipient: &Address) -> Result<Destination, NoRoute> {
        let no_route = || NoRoute(recipient.as_str().into());
        let domain = recipient.domain().or_else(|| self.hostname.clone()).ok_or_else(no_route)?;
        let connector = self.take(&domain).ok_or_else(|| NoRoute(domain.as_str().into()))?;
        Ok(if connector.hosts.is_empty() {
            Destination::exchangers(&connector.name, domain)
        } else {
            Destination::smart_host(&connector.name)
        })
    }

    /// The outbound connector called `name`, enabled or not.
    pub fn connector(&self, name: &str) -> Option<&OutboundConnector> {
        self.connectors.iter().find(|connector| connector.name == name)
    }

    /// All connectors, in the order of the settings.
    pub fn connectors(&self) -> &[OutboundConnector] {
        &self.connectors
    }

    fn take(&self, domain: &Domain) -> Option<&OutboundConnector> {
        let parents = || {
            let text = domain.as_str();
            text.match_indices('.').filter_map(move |(dot, _)| text.get(dot.saturating_add(1)..))
        };
        // A literal such as [192.0.2.1] has dots but no parents.
        let below = || match domain.literal() {
            Some(_) => None,
            None => parents().find_map(|parent| self.below.get(parent)),
        };
        let place = self.exact.get(domain.as_str()).or_else(below).or(self.others.as_ref())?;
        self.connectors.get(*place)
    }

    fn push(&mut self, connector: OutboundConnector) -> Result<(), RouterError> {
        if connector.name.is_empty() {
            return Err(RouterError::NoName);
        }
        if self.connector(&connector.name).is_some() {
            return Err(RouterError::NameTwice(connector.name));
        }
        if let Some(host) = connector.hosts.iter().find(|host| !is_host(&host.host)) {
            let host = host.host.clone();
            return Err(RouterError::Host { connector: connector.name, host });
        }
        if connector.protocol == Protocol::Lmtp && connector.hosts.is_empty() {
            return Err(RouterError::LmtpByMx(connector.name));
        }
        if connector.login.is_some() && connector.hosts.is_empty() {
            return Err(RouterError::LoginByMx(connector.name));
        }
        let place = self.connectors.len();
        for pattern in &connector.recipient_domains {
            let parsed = parse(pattern).ok_or_else(|| RouterError::Pattern {
                connector: connector.name.clone(),
                pattern: pattern.clone(),
            })?;
            let other = connector.enabled.then(|| self.claim(parsed, place)).flatten();
            // Written twice in one connector is harmless.
            if let Some(first) = other.filter(|other| *other != place) {
                return Err(RouterError::PatternTwice {
                    pattern: pattern.clone(),
                    first: self.connectors.get(first).map(|it| it.name.clone()).unwrap_or_default(),
                    second: connector.name,
                });
            }
        }
        self.connectors.push(connector);
        Ok(())
    }

    /// Gives `pattern` to the connector at `place`; returns who had it.
    fn claim(&mut self, pattern: Pattern, place: usize) -> Option<usize> {
        match pattern {
            Pattern::Exact(domain) => self.exact.insert(domain, place),
            Pattern::Below(domain) => self.below.insert(domain, place),
            Pattern::Others => self.others.replace(place),
        }
    }
}

fn parse(pattern: &str) -> Option<Pattern> {
    if pattern == "*" {
        return Some(Pattern::Others);
    }
    let domain = |text: &str| Domain::parse(text).ok();
    match pattern.strip_prefix("*.") {
        Some(rest) => domain(rest)
            .filter(|rest| rest.literal().is_none())
            .map(|rest| Pattern::Below(rest.as_str().into())),
        None => domain(pattern).map(|exact| Pattern::Exact(exact.as_str().into())),
    }
}

fn is_host(host: &str) -> bool {
    host.strip_prefix(SmartHost::UNIX)
        .is_some_and(|path| path.starts_with('/') && path.len() <= UNIX_OCTETS_MAX)
        || host.parse::<IpAddr>().is_ok()
        || Domain::parse(host).is_ok_and(|domain| domain.literal().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Login;

    fn connector(name: &str, domains: &[&str], hosts: &[&str]) -> OutboundConnector {
        let host = |host: &&str| SmartHost { host: (*host).to_owned(), ..SmartHost::default() };
        OutboundConnector {
            name: name.to_owned(),
            recipient_domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            hosts: hosts.iter().map(host).collect(),
            ..OutboundConnector::default()
        }
    }

    #[test]
    fn the_most_specific_domain_wins() {
        let off = OutboundConnector { enabled: false, ..connector("off", &["a.b.example"], &[]) };
        let router = Router::new(vec![
            connector("internet", &["*"], &[]),
            connector(
                "partner",
                &["Partner.example", "*.partner.example"],
                &["mx.partner.example"],
            ),
            connector("deep", &["*.deep.partner.example", "[192.0.2.1]"], &["192.0.2.7", "::1"]),
            off,
        ])
        .unwrap()
        .with_hostname(Domain::parse("relay.example").unwrap());
        for (recipient, want) in [
            ("a@x.example", "internet/x.example"),
            ("a@X.EXAMPLE", "internet/x.example"),
            ("a@partner.EXAMPLE", "partner"),
            ("a@b.partner.example", "partner"),
            ("a@deep.partner.example", "partner"),
            ("a@x.deep.partner.example", "deep"),
            ("a@notpartner.example", "internet/notpartner.example"),
            ("a@[192.0.2.1]", "deep"),
            ("a@[192.0.2.2]", "internet/[192.0.2.2]"),
            ("a@a.b.example", "internet/a.b.example"),
            ("Postmaster", "internet/relay.example"),
        ] {
            let got = router.route(&Address::parse(recipient).unwrap()).unwrap();
            assert_eq!(got.to_string(), want, "{recipient}");
        }
        assert_eq!(router.connector("deep").unwrap().hosts.len(), 2);
    }

    #[test]
    fn without_a_catch_all_others_have_no_route() {
        let router = Router::new(vec![connector("a", &["a.example"], &[])]).unwrap();
        let refused = router.route(&Address::parse("x@b.example").unwrap()).unwrap_err();
        assert_eq!(
            refused.reply().to_string(),
            "550 5.4.4 no outbound connector takes mail for b.example"
        );
        let refused = router.route(&Address::parse("postmaster").unwrap()).unwrap_err();
        assert_eq!(refused.to_string(), "no outbound connector takes mail for postmaster");
    }

    #[test]
    fn clashes_and_typos_are_refused() {
        let a = || connector("a", &["a.example"], &[]);
        for (connectors, want) in [
            (vec![connector("", &[], &[])], "has no name"),
            (vec![a(), connector("a", &[], &[])], "two outbound connectors are called `a`"),
            (vec![a(), connector("b", &["A.example"], &[])], "connectors `a` and `b`"),
            (vec![connector("a", &["*a.example"], &[])], "`*a.example` of outbound connector"),
            (vec![connector("a", &["*.[192.0.2.1]"], &[])], "is not a domain"),
            (vec![connector("a", &["*"], &["[::1]"])], "smart host `[::1]`"),
            (vec![connector("a", &["*"], &["a b"])], "smart host `a b`"),
        ] {
            let error = Router::new(connectors).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(Router::new(vec![connector("a", &["a.example", "a.example"], &[])]).is_ok());
    }

    #[test]
    fn lmtp_is_for_smart_hosts_only_and_they_may_be_sockets() {
        let with = |hosts: &[&str]| OutboundConnector {
            protocol: Protocol::Lmtp,
            ..connector("a", &["*"], hosts)
        };
        let error = Router::new(vec![with(&[])]).unwrap_err();
        assert_eq!(error, RouterError::LmtpByMx("a".to_owned()));
        for host in ["unix:/run/dovecot/lmtp", "mail.example", "127.0.0.1"] {
            assert!(Router::new(vec![with(&[host])]).is_ok(), "{host}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for host in ["unix:run/lmtp", "unix:", "/run/lmtp", long.as_str()] {
            assert!(Router::new(vec![with(&[host])]).is_err(), "{host}");
        }
    }

    #[test]
    fn a_login_is_for_smart_hosts_only() {
        let login = Login {
            user: "relay".to_owned(),
            password_file: Some("/etc/chasqui/password".into()),
            ..Login::default()
        };
        let with = |hosts| OutboundConnector {
            login: Some(login.clone()),
            ..connector("a", &["*"], hosts)
        };
        let error = Router::new(vec![with(&[])]).unwrap_err();
        assert_eq!(error, RouterError::LoginByMx("a".to_owned()));
        assert!(Router::new(vec![with(&["mx.partner.example"])]).is_ok());
    }
}
