//! Which outbound connector takes a recipient.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use mail::{Address, Destination, Domain, EnhancedStatus, Recipient, Reply};

use crate::config::{OutboundConnector, Protocol, SmartHost, TlsLevel};
use crate::from_filter::FromFilter;

/// What fits into a socket address (unix(7)).
const UNIX_OCTETS_MAX: usize = 107;

/// Connectors that are named of those that take only other mail.
const LEFT_OUT_MAX: usize = 3;

/// The outbound connectors by recipient domain. Made once, shared by `Arc`.
#[derive(Clone, Debug)]
pub struct Router {
    connectors: Vec<OutboundConnector>,
    /// By the place of their connector.
    from_filters: Vec<FromFilter>,
    /// Exact domains.
    exact: HashMap<Box<str>, Claims>,
    /// What stands behind `*.`.
    below: HashMap<Box<str>, Claims>,
    /// Those of `*`.
    others: Claims,
    hostname: Option<Domain>,
    /// By the place of their connector: whether its mail goes another way, as it is at its limit. The one thing that
    /// changes; the queue says it.
    full: Arc<[AtomicBool]>,
    /// How often that has changed.
    changes: Arc<AtomicU32>,
}

/// The connectors that take the domains of one pattern, by their places: the first is asked first.
#[derive(Clone, Debug, Default)]
struct Claims {
    /// Enabled ones, by priority, then by name.
    all: Vec<usize>,
    /// The first that takes mail whatever its From, without a rule that names it.
    plain: Option<usize>,
}

/// Whether a connector has room for more mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fullness {
    /// It is at its limit.
    Full,
    /// It has room.
    Room,
}

/// No enabled outbound connector takes this recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no outbound connector takes mail for {to}{left_out}")]
pub struct NoRoute {
    to: Box<str>,
    /// The connectors that take other mail for it, and what they ask.
    left_out: Box<str>,
}

impl NoRoute {
    fn of(to: &str) -> Self {
        Self { to: to.into(), left_out: Box::default() }
    }

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
    /// What stands in `from_filter` is no filter.
    #[error(
        "`{pattern}` in `from_filter` of outbound connector `{connector}` is not an address, a domain, or `*.` and a domain"
    )]
    FromFilter {
        /// The connector.
        connector: String,
        /// What stood there.
        pattern: String,
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
    #[error("outbound connector `{0}` speaks LMTP but has no `smart_hosts`")]
    LmtpByMx(String),
    /// TLS from the beginning, but also without TLS.
    #[error(
        "outbound connector `{0}` has `implicit_tls` but neither `tls = \"encrypt\"` nor `\"verify\"`"
    )]
    ImplicitTls(String),
    /// A host that no source address can reach.
    #[error(
        "no address in `source_addresses` of outbound connector `{connector}` is of the family of its host {host}"
    )]
    SourceFamily {
        /// The connector.
        connector: String,
        /// The host's address.
        host: IpAddr,
    },
    /// A login that any mail exchanger would get to see.
    #[error("outbound connector `{0}` has a `login` but no `smart_hosts`")]
    LoginByMx(String),
}

/// What a recipient's domain must be.
enum Pattern {
    Exact(Box<str>),
    Below(Box<str>),
    Others,
}

impl Router {
    /// Makes the table.
    ///
    /// # Errors
    /// When names clash or something is malformed; the operator mends the settings.
    pub fn new(connectors: Vec<OutboundConnector>) -> Result<Self, RouterError> {
        let mut router = Self {
            connectors: Vec::new(),
            from_filters: Vec::new(),
            exact: HashMap::new(),
            below: HashMap::new(),
            others: Claims::default(),
            hostname: None,
            full: Arc::default(),
            changes: Arc::default(),
        };
        for connector in connectors {
            router.push(connector)?;
        }
        let Self { connectors, exact, below, others, .. } = &mut router;
        for claims in exact.values_mut().chain(below.values_mut()).chain([others]) {
            claims.settle(connectors);
        }
        router.full = router.connectors.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(router)
    }

    /// Sets the domain that `postmaster` without a domain belongs to (RFC 5321 §4.5.1).
    #[must_use]
    pub fn with_hostname(self, hostname: Domain) -> Self {
        Self { hostname: Some(hostname), ..self }
    }

    /// The destination of a recipient of whose mail nothing is known but that: connectors with a From filter, and
    /// those for which a rule must speak, do not count.
    ///
    /// # Errors
    /// When no enabled connector takes its domain.
    pub fn route(&self, recipient: &Address) -> Result<Destination, NoRoute> {
        let domain = self.domain_of(recipient)?;
        let place = self.levels(&domain).find_map(|claims| claims.plain);
        self.to(place, domain)
    }

    /// The destination of a recipient of a message that was taken: by the connector that was chosen then, if it is
    /// still there and carries mail, else as [`Self::route`]. By another one if that one is [full](Self::set_full).
    ///
    /// # Errors
    /// When no enabled connector takes it.
    pub fn route_of(&self, recipient: &Recipient) -> Result<Destination, NoRoute> {
        let domain = self.domain_of(&recipient.address)?;
        let via = recipient.via.as_deref().and_then(|name| self.place(name));
        let via = via.filter(|place| {
            self.connectors.get(*place).is_some_and(OutboundConnector::carries_mail)
        });
        let plain = || self.levels(&domain).find_map(|claims| claims.plain);
        let chosen = via.or_else(plain);
        let place = match chosen {
            Some(place) if self.is_full(place) => self.instead(&domain).or(chosen),
            _ => chosen,
        };
        self.to(place, domain)
    }

    /// Says whether mail for the connector called `name` is to go another way for now, where there is one.
    pub fn set_full(&self, name: &str, is_full: Fullness) {
        if let Some(full) = self.place(name).and_then(|place| self.full.get(place)) {
            let is_full = is_full == Fullness::Full;
            // There is one writer. Whoever sees the flag sees the count too.
            if full.load(Ordering::SeqCst) != is_full {
                self.changes.fetch_add(1, Ordering::SeqCst);
                full.store(is_full, Ordering::SeqCst);
            }
        }
    }

    /// The names of those whose mail goes another way for now.
    pub fn full(&self) -> impl Iterator<Item = &str> {
        let all = self.connectors.iter().zip(&*self.full);
        let full = all.filter(|(_, is_full)| is_full.load(Ordering::SeqCst));
        full.map(|(connector, _)| connector.name.as_str())
    }

    /// How often it has changed which connectors are full.
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::SeqCst)
    }

    fn is_full(&self, place: usize) -> bool {
        self.full.get(place).is_some_and(|full| full.load(Ordering::SeqCst))
    }

    /// The connector that takes mail for `domain` in place of a full one.
    fn instead(&self, domain: &Domain) -> Option<usize> {
        let others = self.levels(domain).flat_map(|claims| claims.all.iter().copied());
        others.into_iter().find(|place| {
            let connector = self.connectors.get(*place);
            let is_plain = connector.is_some_and(is_plain);
            is_plain && !self.is_full(*place)
        })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.connectors.iter().position(|connector| connector.name == name)
    }

    /// The connector for a recipient of mail whose header says it is from `from`: of the most specific recipient
    /// domain, then of the most specific From filter, then of the smallest priority, then the first by name.
    pub fn choose(
        &self,
        recipient: &Address,
        from: Option<&Address>,
    ) -> Option<&OutboundConnector> {
        let domain = self.domain_of(recipient).ok()?;
        self.levels(&domain).find_map(|claims| {
            let unscoped = claims.all.iter().filter_map(|place| {
                let connector = self.connectors.get(*place)?;
                let fit = self.from_filters.get(*place)?.fit(from)?;
                (!connector.is_transport_rule_scoped).then_some((fit, connector))
            });
            // `all` is in order of priority: the first of the best fits.
            unscoped.min_by_key(|(fit, _)| Reverse(*fit)).map(|(_, connector)| connector)
        })
    }

    /// Whether some connector may take mail for a recipient, whatever its From is and whatever the rules say; to be
    /// asked at RCPT, when neither is known.
    ///
    /// # Errors
    /// When none does; refuse it with [`NoRoute::reply`].
    pub fn may_route(&self, recipient: &Address) -> Result<(), NoRoute> {
        let domain = self.domain_of(recipient)?;
        let is_taken = self.levels(&domain).any(|claims| !claims.all.is_empty());
        if is_taken { Ok(()) } else { Err(NoRoute::of(domain.as_str())) }
    }

    /// Whether some connector looks at the From of mail.
    pub fn has_from_filters(&self) -> bool {
        let mut filters = self.from_filters.iter().zip(&self.connectors);
        filters.any(|(filter, connector)| connector.enabled && !filter.is_empty())
    }

    /// The outbound connector called `name`, enabled or not.
    pub fn connector(&self, name: &str) -> Option<&OutboundConnector> {
        self.connectors.iter().find(|connector| connector.name == name)
    }

    /// Where mail for `recipient` goes by `connector`, whoever would take it otherwise.
    ///
    /// # Errors
    /// When the recipient is of no domain.
    pub fn by(
        &self,
        connector: &OutboundConnector,
        recipient: &Address,
    ) -> Result<Destination, NoRoute> {
        self.domain_of(recipient).map(|domain| destination(connector, domain))
    }

    /// All connectors, in the order of the settings.
    pub fn connectors(&self) -> &[OutboundConnector] {
        &self.connectors
    }

    /// The connectors with their From filters.
    pub(crate) fn filtered(&self) -> impl Iterator<Item = (&OutboundConnector, &FromFilter)> {
        self.connectors.iter().zip(&self.from_filters)
    }

    /// The domain that decides about a recipient.
    pub(crate) fn domain_of(&self, recipient: &Address) -> Result<Domain, NoRoute> {
        let domain = recipient.domain().or_else(|| self.hostname.clone());
        domain.ok_or_else(|| NoRoute::of(recipient.as_str()))
    }

    fn to(&self, place: Option<usize>, domain: Domain) -> Result<Destination, NoRoute> {
        match place.and_then(|place| self.connectors.get(place)) {
            Some(connector) => Ok(destination(connector, domain)),
            None => {
                Err(NoRoute { left_out: self.left_out(&domain), ..NoRoute::of(domain.as_str()) })
            }
        }
    }

    /// What those ask that take only some of the mail for `domain`.
    fn left_out(&self, domain: &Domain) -> Box<str> {
        let claims = self.levels(domain).flat_map(|claims| &claims.all);
        let asks = claims.filter_map(|place| {
            let OutboundConnector { name, is_transport_rule_scoped, .. } =
                self.connectors.get(*place)?;
            Some(if *is_transport_rule_scoped {
                format!("; only rules send mail to `{name}`")
            } else {
                format!("; `{name}` takes only mail whose From is in its from_filter")
            })
        });
        asks.take(LEFT_OUT_MAX).collect::<String>().into()
    }

    /// Who claims `domain`, the most specific pattern first.
    fn levels<'a>(&'a self, domain: &'a Domain) -> impl Iterator<Item = &'a Claims> {
        let text = domain.as_str();
        // A literal such as [192.0.2.1] has dots but no parents.
        let dots = domain.literal().is_none().then(|| text.match_indices('.'));
        let parents = dots.into_iter().flatten();
        let parents = parents.filter_map(move |(dot, _)| text.get(dot.saturating_add(1)..));
        let below = parents.filter_map(|parent| self.below.get(parent));
        self.exact.get(text).into_iter().chain(below).chain([&self.others])
    }

    fn push(&mut self, connector: OutboundConnector) -> Result<(), RouterError> {
        if connector.name.is_empty() {
            return Err(RouterError::NoName);
        }
        if self.connector(&connector.name).is_some() {
            return Err(RouterError::NameTwice(connector.name));
        }
        if let Some(host) = connector.smart_hosts.iter().find(|host| !is_host(&host.host)) {
            let host = host.host.clone();
            return Err(RouterError::Host { connector: connector.name, host });
        }
        if connector.protocol == Protocol::Lmtp && connector.smart_hosts.is_empty() {
            return Err(RouterError::LmtpByMx(connector.name));
        }
        if connector.login.is_some() && connector.smart_hosts.is_empty() {
            return Err(RouterError::LoginByMx(connector.name));
        }
        if connector.implicit_tls
            && matches!(connector.tls, TlsLevel::None | TlsLevel::Opportunistic)
        {
            return Err(RouterError::ImplicitTls(connector.name));
        }
        if let Some(host) = beyond_sources(&connector) {
            return Err(RouterError::SourceFamily { connector: connector.name, host });
        }
        let filter = FromFilter::parse(&connector.from_filter).map_err(|pattern| {
            RouterError::FromFilter { connector: connector.name.clone(), pattern }
        })?;
        let place = self.connectors.len();
        for pattern in &connector.recipient_domains {
            let parsed = parse(pattern).ok_or_else(|| RouterError::Pattern {
                connector: connector.name.clone(),
                pattern: pattern.clone(),
            })?;
            if connector.carries_mail() {
                self.claims(parsed).all.push(place);
            }
        }
        self.from_filters.push(filter);
        self.connectors.push(connector);
        Ok(())
    }

    /// Who claims what `pattern` stands for.
    fn claims(&mut self, pattern: Pattern) -> &mut Claims {
        match pattern {
            Pattern::Exact(domain) => self.exact.entry(domain).or_default(),
            Pattern::Below(domain) => self.below.entry(domain).or_default(),
            Pattern::Others => &mut self.others,
        }
    }
}

impl Claims {
    /// Puts those who claim in order, once all are known.
    fn settle(&mut self, connectors: &[OutboundConnector]) {
        let rank = |place: &usize| {
            connectors.get(*place).map(|it| (it.priority, it.name.as_str(), *place))
        };
        self.all.sort_by_key(rank);
        self.all.dedup();
        let mut all = self.all.iter().copied();
        self.plain = all.find(|place| connectors.get(*place).is_some_and(is_plain));
    }
}

/// Whether a connector takes mail whatever its From, without a rule that names it.
const fn is_plain(connector: &OutboundConnector) -> bool {
    connector.from_filter.is_empty() && !connector.is_transport_rule_scoped
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

/// A host whose address is of a family that no source address has.
fn beyond_sources(connector: &OutboundConnector) -> Option<IpAddr> {
    let sources = &connector.source_addresses;
    let addresses =
        connector.smart_hosts.iter().filter_map(|host| host.host.parse::<IpAddr>().ok());
    let is_beyond = |host: &IpAddr| !sources.iter().any(|one| one.is_ipv4() == host.is_ipv4());
    addresses.filter(|_| !sources.is_empty()).find(is_beyond)
}

fn destination(connector: &OutboundConnector, domain: Domain) -> Destination {
    if connector.smart_hosts.is_empty() && connector.application.is_none() {
        Destination::exchangers(&connector.name, domain)
    } else {
        Destination::smart_host(&connector.name)
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
            smart_hosts: hosts.iter().map(host).collect(),
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
        assert_eq!(router.connector("deep").unwrap().smart_hosts.len(), 2);
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
    fn those_that_take_other_mail_for_a_domain_are_named() {
        let own = OutboundConnector {
            from_filter: vec!["own.example".to_owned()],
            ..connector("own", &["*"], &[])
        };
        let bulk = OutboundConnector {
            is_transport_rule_scoped: true,
            ..connector("bulk", &["b.example"], &[])
        };
        let router = Router::new(vec![own, bulk]).unwrap();
        let to = Recipient::from(Address::parse("x@b.example").unwrap());
        assert_eq!(
            router.route_of(&to).unwrap_err().to_string(),
            "no outbound connector takes mail for b.example; only rules send mail to `bulk`; \
             `own` takes only mail whose From is in its from_filter"
        );
    }

    /// DA-02: of those that may take it the best priority, else the first by name.
    #[test]
    fn of_those_that_claim_a_domain_the_smallest_priority_wins() {
        let with = |name: &str, priority, enabled| OutboundConnector {
            enabled,
            priority,
            ..connector(name, &["x.example"], &[])
        };
        let scoped = OutboundConnector { is_transport_rule_scoped: true, ..with("rule", 1, true) };
        let off = with("off", 1, false);
        let router = |connectors| Router::new(connectors).unwrap();
        let address = Address::parse("a@x.example").unwrap();
        let all = [with("b", 20, true), with("c", 10, true), with("a", 20, true), off, scoped];
        for (count, want) in [(1, "b"), (2, "c"), (5, "c")] {
            let router = router(all[..count].to_vec());
            assert_eq!(router.route(&address).unwrap().connector(), want);
            assert_eq!(router.choose(&address, None).unwrap().name, want);
        }
        let router = router(vec![all[0].clone(), all[2].clone(), all[4].clone()]);
        assert_eq!(router.route(&address).unwrap().connector(), "a");
        let only_scoped = Router::new(vec![all[4].clone()]).unwrap();
        assert!(only_scoped.may_route(&address).is_ok());
        assert!(only_scoped.route(&address).is_err());
        assert_eq!(only_scoped.choose(&address, None), None);
    }

    #[test]
    fn the_most_specific_from_filter_wins() {
        let with = |name: &str, domain: &str, filter: &[&str]| OutboundConnector {
            from_filter: filter.iter().map(ToString::to_string).collect(),
            ..connector(name, &[domain], &[])
        };
        let router = Router::new(vec![
            with("any", "*", &[]),
            with("domain", "*", &["own.example", "two.example"]),
            with("address", "*", &["sales@own.example"]),
            with("partner", "partner.example", &["own.example"]),
        ])
        .unwrap();
        assert!(router.has_from_filters());
        let address = |text| Address::parse(text).unwrap();
        for (recipient, from, want) in [
            ("a@x.example", Some("Sales@OWN.example"), "address"),
            ("a@x.example", Some("info@own.example"), "domain"),
            ("a@x.example", Some("info@two.example"), "domain"),
            ("a@x.example", Some("info@sub.own.example"), "any"),
            ("a@x.example", None, "any"),
            ("a@partner.example", Some("sales@own.example"), "partner"),
            ("a@partner.example", Some("x@other.example"), "any"),
        ] {
            let from = from.map(address);
            let got = router.choose(&address(recipient), from.as_ref());
            assert_eq!(got.map(|it| it.name.as_str()), Some(want), "{recipient} {from:?}");
        }
        assert_eq!(router.route(&address("a@partner.example")).unwrap().connector(), "any");
    }

    #[test]
    fn what_was_chosen_stays_while_it_is_there() {
        let off = OutboundConnector { enabled: false, ..connector("off", &["*"], &[]) };
        let router = Router::new(vec![
            connector("internet", &["*"], &[]),
            connector("partner", &["partner.example"], &["mx.partner.example"]),
            off,
        ]);
        let router = router.unwrap();
        let to = |via: Option<&str>| Recipient {
            via: via.map(Into::into),
            ..Recipient::from(Address::parse("a@x.example").unwrap())
        };
        for (via, want) in [
            (None, "internet/x.example"),
            (Some("internet"), "internet/x.example"),
            (Some("partner"), "partner"),
            (Some("off"), "internet/x.example"),
            (Some("gone"), "internet/x.example"),
        ] {
            assert_eq!(router.route_of(&to(via)).unwrap().to_string(), want, "{via:?}");
        }
    }

    #[test]
    fn what_can_reach_no_host_is_refused() {
        let sources = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let with = |hosts: &[&str], source_addresses| OutboundConnector {
            source_addresses,
            ..connector("a", &["*"], hosts)
        };
        let error = Router::new(vec![with(&["::1"], sources(&["192.0.2.1"]))]).unwrap_err();
        assert!(error.to_string().contains("is of the family of its host ::1"), "{error}");
        for hosts in [&["192.0.2.7"][..], &["mx.example"], &["unix:/run/lmtp"], &[]] {
            assert!(Router::new(vec![with(hosts, sources(&["192.0.2.1"]))]).is_ok(), "{hosts:?}");
        }
        assert!(Router::new(vec![with(&["::1"], sources(&["192.0.2.1", "::2"]))]).is_ok());
        for (tls, want) in [
            (TlsLevel::None, false),
            (TlsLevel::Opportunistic, false),
            (TlsLevel::Encrypt, true),
            (TlsLevel::Verify, true),
            (TlsLevel::Dane, true),
            (TlsLevel::DaneOnly, true),
        ] {
            let connector =
                OutboundConnector { tls, implicit_tls: true, ..connector("a", &["*"], &[]) };
            assert_eq!(Router::new(vec![connector]).is_ok(), want, "{tls:?}");
        }
    }

    /// What is full sends its mail to the next one that has room, as long as there is one.
    #[test]
    fn a_full_connector_spills_to_the_next_that_has_room() {
        let with = |name: &str, domain: &str, priority| OutboundConnector {
            priority,
            ..connector(name, &[domain], &[])
        };
        let filtered = OutboundConnector {
            from_filter: vec!["own.example".to_owned()],
            ..with("filtered", "*", 1)
        };
        let all =
            vec![with("a", "x.example", 1), with("b", "x.example", 2), with("c", "*", 3), filtered];
        let router = Router::new(all).unwrap();
        let recipient = Recipient::from(Address::parse("a@x.example").unwrap());
        let goes = || router.route_of(&recipient).unwrap().connector().to_owned();
        for (name, want) in [("", "a"), ("a", "b"), ("b", "c"), ("c", "a")] {
            router.set_full(name, Fullness::Full);
            assert_eq!(goes(), want, "{name}");
        }
        router.set_full("b", Fullness::Room);
        assert_eq!(goes(), "b");
        let via = Recipient { via: Some("filtered".into()), ..recipient.clone() };
        assert_eq!(router.route_of(&via).unwrap().connector(), "filtered");
        router.set_full("filtered", Fullness::Full);
        assert_eq!(router.route_of(&via).unwrap().connector(), "b");
    }

    /// Whatever fills and opens, mail moves only from or to a connector that did; whoever waits for what is under way goes
    /// by that.
    #[test]
    fn mail_moves_only_where_something_changed() {
        let names = ["a", "b", "c", "filtered"];
        let with = |name: &str, domain: &str, priority| OutboundConnector {
            priority,
            ..connector(name, &[domain], &[])
        };
        let filtered = OutboundConnector {
            from_filter: vec!["own.example".to_owned()],
            ..with("filtered", "*", 1)
        };
        let all =
            vec![with("a", "x.example", 1), with("b", "x.example", 2), with("c", "*", 3), filtered];
        let router = Router::new(all).unwrap();
        let recipients: Vec<_> = ["a@x.example", "a@y.example"]
            .into_iter()
            .flat_map(|text| {
                let recipient = Recipient::from(Address::parse(text).unwrap());
                let vias = [None, Some("a"), Some("b"), Some("filtered")];
                vias.map(|via| Recipient { via: via.map(Into::into), ..recipient.clone() })
            })
            .collect();
        let goes = |full: usize, recipient: &Recipient| {
            for (at, name) in names.iter().enumerate() {
                let is_full = full & (1 << at) != 0;
                router.set_full(name, if is_full { Fullness::Full } else { Fullness::Room });
            }
            assert_eq!(u32::try_from(router.full().count()), Ok(full.count_ones()));
            let place = router.route_of(recipient).unwrap();
            names.iter().position(|name| *name == place.connector()).unwrap()
        };
        for (before, after) in (0..16).flat_map(|before| (0..16).map(move |it| (before, it))) {
            for recipient in &recipients {
                let (from, to) = (goes(before, recipient), goes(after, recipient));
                let has_changed = |at: usize| (before ^ after) & (1 << at) != 0;
                let may_move = has_changed(from) || has_changed(to);
                assert!(from == to || may_move, "{recipient:?} {before:04b} {after:04b}");
            }
        }
    }

    /// `OC_22`: in test mode a connector carries no mail.
    #[test]
    fn oc_22_a_connector_in_test_mode_takes_no_mail() {
        let tested =
            OutboundConnector { test_mode: true, ..connector("tested", &["x.example"], &[]) };
        let router = Router::new(vec![tested, connector("all", &["*"], &[])]).unwrap();
        let recipient = Recipient::from(Address::parse("a@x.example").unwrap());
        let via = Recipient { via: Some("tested".into()), ..recipient.clone() };
        for recipient in [recipient, via] {
            assert_eq!(router.route_of(&recipient).unwrap().connector(), "all");
        }
    }

    #[test]
    fn clashes_and_typos_are_refused() {
        let a = || connector("a", &["a.example"], &[]);
        for (connectors, want) in [
            (vec![connector("", &[], &[])], "has no name"),
            (vec![a(), connector("a", &[], &[])], "two outbound connectors are called `a`"),
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
