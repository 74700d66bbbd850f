//! What a rule asks, ready to be asked.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use mail::Timestamp;

use crate::config::{AuthResult, SenderAddressLocation, TimeWindow};
use crate::rules::canonical::Canonical;
use crate::rules::facts::AuthResults;
use crate::rules::members::Members;
use crate::rules::view::{View, time_of_week};
use crate::rules::words::Needle;

/// One key of `when` or `except`: at least one of its values must hold.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The key, as the operator wrote it.
    pub(crate) key: &'static str,
    pub(crate) asks: Asks,
}

/// What is asked of the whole message.
#[derive(Debug)]
pub(crate) enum Asks {
    /// That a sender is a member.
    Sender(Who, SenderAddressLocation),
    Connector(Names),
    /// Names, `*@` and a domain, or `*`.
    Account(Names),
    Listener(Names),
    Client(Box<[IpNet]>),
    Certificate(Names),
    Header(Box<[Needle]>),
    SizeOver(u64),
    Class(Names),
    Time(Box<[TimeWindow]>),
    Spf(Box<[AuthResult]>),
    Dkim(Box<[AuthResult]>),
    Dmarc(Box<[AuthResult]>),
    Tls(bool),
}

/// A key about recipients.
#[derive(Debug)]
pub(crate) struct OfRecipient {
    pub(crate) key: &'static str,
    pub(crate) who: Who,
}

/// Sets of addresses and domains, of which one must have somebody.
pub(crate) type Who = Box<[Arc<Members>]>;
/// Texts as the operator wrote them.
pub(crate) type Names = Box<[Box<str>]>;

impl Condition {
    /// Whether it holds.
    pub(crate) fn holds(&self, view: &View<'_>) -> bool {
        let facts = view.facts;
        let is = |names: &Names, name: &str| names.iter().any(|one| **one == *name);
        let auth = |wanted: &[AuthResult], of: fn(&AuthResults) -> AuthResult| {
            facts.auth.as_ref().is_some_and(|auth| wanted.contains(&of(auth)))
        };
        match &self.asks {
            Asks::Sender(who, location) => {
                view.senders(*location).any(|sender| is_among(who, sender))
            }
            Asks::Connector(names) => is(names, facts.connector),
            Asks::Account(patterns) => {
                facts.account.is_some_and(|it| patterns.iter().any(|one| is_account(one, it)))
            }
            Asks::Listener(names) => is(names, facts.listener),
            Asks::Client(networks) => facts.client.is_some_and(|it| is_in_any(networks, it)),
            Asks::Certificate(patterns) => facts
                .certificate_names
                .iter()
                .any(|name| patterns.iter().any(|one| is_certified(one, name))),
            Asks::Header(needles) => needles.iter().any(|needle| view.has(*needle)),
            Asks::SizeOver(octets) => facts.octets > *octets,
            Asks::Class(names) => facts.class.is_some_and(|class| is(names, class)),
            Asks::Time(windows) => windows.iter().any(|one| is_within(one, facts.now)),
            Asks::Spf(wanted) => auth(wanted, |it| it.spf),
            Asks::Dkim(wanted) => auth(wanted, |it| it.dkim),
            Asks::Dmarc(wanted) => auth(wanted, |it| it.dmarc),
            Asks::Tls(wanted) => facts.is_tls == *wanted,
        }
    }

    /// What it costs to ask: the cheapest go first.
    pub(crate) const fn cost(&self) -> u8 {
        match &self.asks {
            Asks::SizeOver(_) | Asks::Tls(_) | Asks::Spf(_) | Asks::Dkim(_) | Asks::Dmarc(_) => 0,
            Asks::Connector(_) | Asks::Listener(_) | Asks::Class(_) | Asks::Account(_) => 1,
            Asks::Client(_) | Asks::Time(_) | Asks::Certificate(_) => 2,
            Asks::Sender(..) => 3,
            Asks::Header(_) => 4,
        }
    }

    /// What the message shows where this looks, for an explanation.
    pub(crate) fn seen(&self, view: &View<'_>) -> String {
        let facts = view.facts;
        let result = |of: fn(&AuthResults) -> AuthResult| {
            facts.auth.as_ref().map_or("not evaluated", |auth| of(auth).as_str()).to_owned()
        };
        match &self.asks {
            Asks::Sender(_, location) => {
                let senders: Vec<_> = view.senders(*location).map(Canonical::as_str).collect();
                if senders.is_empty() { "no sender".to_owned() } else { senders.join(", ") }
            }
            Asks::Connector(_) => facts.connector.to_owned(),
            Asks::Account(_) => facts.account.unwrap_or("no account").to_owned(),
            Asks::Listener(_) => facts.listener.to_owned(),
            Asks::Client(_) => {
                facts.client.map_or_else(|| "no client".to_owned(), |it| it.to_string())
            }
            Asks::Certificate(_) if facts.certificate_names.is_empty() => {
                "no certificate".to_owned()
            }
            Asks::Certificate(_) => facts.certificate_names.join(", "),
            Asks::Header(_) => "the header".to_owned(),
            Asks::SizeOver(_) => format!("{} octets", facts.octets),
            Asks::Class(_) => facts.class.unwrap_or("no class").to_owned(),
            Asks::Time(_) => facts.now.rfc3339(),
            Asks::Spf(_) => result(|it| it.spf),
            Asks::Dkim(_) => result(|it| it.dkim),
            Asks::Dmarc(_) => result(|it| it.dmarc),
            Asks::Tls(_) => if facts.is_tls { "TLS" } else { "no TLS" }.to_owned(),
        }
    }
}

impl OfRecipient {
    /// Whether it holds for a recipient.
    pub(crate) fn holds(&self, recipient: &Canonical) -> bool {
        is_among(&self.who, recipient)
    }
}

fn is_among(who: &Who, address: &Canonical) -> bool {
    who.iter().any(|members| members.contains(address))
}

/// Whether `account` is `pattern`, of the domain behind its `*@`, or `pattern` is `*`.
fn is_account(pattern: &str, account: &str) -> bool {
    let domains = pattern.strip_prefix("*@").zip(account.rsplit_once('@'));
    pattern == "*"
        || pattern == account
        || domains.is_some_and(|(domain, (_, own))| domain.eq_ignore_ascii_case(own))
}

fn is_certified(pattern: &str, name: &str) -> bool {
    let parents = pattern.strip_prefix("*.").zip(name.split_once('.'));
    pattern.eq_ignore_ascii_case(name)
        || parents.is_some_and(|(parent, (label, rest))| {
            !label.is_empty() && parent.eq_ignore_ascii_case(rest)
        })
}

/// Whether a network has the client; an IPv4 address in IPv6 form counts as IPv4.
pub(crate) fn is_in_any(networks: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| network.contains(&client))
}

fn is_within(window: &TimeWindow, now: Timestamp) -> bool {
    let (day, minute) = time_of_week(now);
    let (from, to) = (window.from.minutes(), window.to.minutes());
    let is_day = window.weekdays.is_empty() || window.weekdays.contains(&day);
    let is_time =
        if from <= to { from <= minute && minute < to } else { from <= minute || minute < to };
    is_day && is_time
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TimeOfDay, Weekday};

    #[test]
    fn windows_may_go_around_midnight() {
        let window = |from: &str, to: &str, weekdays: &[Weekday]| TimeWindow {
            weekdays: weekdays.to_vec(),
            from: TimeOfDay::parse(from).unwrap(),
            to: TimeOfDay::parse(to).unwrap(),
        };
        let work = window("08:00", "18:00", &[Weekday::Mon, Weekday::Tue]);
        let night = window("22:00", "06:00", &[]);
        for (now, at_work, at_night) in [
            ("2026-11-23T08:00:00Z", true, false),
            ("2026-11-23T17:59:59Z", true, false),
            ("2026-11-23T18:00:00Z", false, false),
            ("2026-11-25T09:00:00Z", false, false),
            ("2026-11-25T23:00:00Z", false, true),
            ("2026-11-25T05:59:00Z", false, true),
        ] {
            let at = Timestamp::from_rfc3339(now).unwrap();
            assert_eq!((is_within(&work, at), is_within(&night, at)), (at_work, at_night), "{now}");
        }
        assert!(is_within(&TimeWindow::default(), Timestamp::from_millis(86_399_999)));
    }

    #[test]
    fn names_have_their_wildcards() {
        assert!(is_account("*@Example.com", "a@example.COM") && is_account("*", "x"));
        assert!(!is_account("*@example.com", "a@sub.example.com") && !is_account("a", "A"));
        assert!(is_certified("*.b.example", "A.B.example") && is_certified("a.b", "A.b"));
        assert!(!is_certified("*.b.example", "b.example") && !is_certified("*.b", "x.y.b"));
    }
}
