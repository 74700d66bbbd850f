//! Why one outbound connector takes a recipient and the others do not.

use std::cmp::Reverse;
use std::fmt;

use mail::{Address, Domain};

use crate::config::OutboundConnector;
use crate::from_filter::Fit;
use crate::router::Router;

/// An outbound connector as it stands to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The connector.
    pub connector: &'a OutboundConnector,
    /// Whether it takes the recipient's mail, and if not, why.
    pub standing: Standing,
}

/// Whether a connector takes mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Chosen,
    /// It is not enabled.
    Disabled,
    /// `recipient_domains` does not hold the recipient's domain.
    OtherRecipients,
    /// `from_filter` does not hold the From.
    OtherFrom,
    /// Only rules send mail there.
    RulesOnly,
    /// Another one's `recipient_domains` is more specific.
    WiderRecipients,
    /// Another one's `from_filter` is more specific.
    WiderFrom,
    /// Another one's `priority` is smaller.
    Priority,
    /// Another one's name comes first, all else alike.
    Name,
}

impl Standing {
    /// As a sentence about the connector.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "it takes the mail",
            Self::Disabled => "it is disabled",
            Self::OtherRecipients => "the domain is not in its recipient_domains",
            Self::OtherFrom => "the From is not in its from_filter",
            Self::RulesOnly => "only rules send mail there",
            Self::WiderRecipients => "its recipient_domains are less specific",
            Self::WiderFrom => "its from_filter is less specific",
            Self::Priority => "its priority is a larger number",
            Self::Name => "its name comes later",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What is compared, in this order; the largest takes the mail.
type Rank<'a> = (usize, Fit, Reverse<u32>, Reverse<&'a str>);

impl Router {
    /// All connectors as they stand to a recipient of mail whose header says it is from `from`, in the order of the
    /// settings; the one that is [`Standing::Chosen`] is that of [`Self::choose`].
    pub fn candidates(&self, recipient: &Address, from: Option<&Address>) -> Vec<Candidate<'_>> {
        let domain = self.domain_of(recipient).ok();
        let ranks = self.filtered().map(|(connector, filter)| {
            let rank = rank(connector, domain.as_ref(), filter.fit(from));
            (connector, rank)
        });
        let ranks: Vec<_> = ranks.collect();
        let best = ranks.iter().filter_map(|(_, rank)| rank.ok()).max();
        let stands = |(connector, rank): (_, Result<Rank<'_>, Standing>)| {
            let standing = rank.map_or_else(|standing| standing, |rank| behind(rank, best));
            Candidate { connector, standing }
        };
        ranks.into_iter().map(stands).collect()
    }

    /// Why a connector cannot take a recipient of mail whose header says it is from `from`, whatever the others would
    /// do; none if it can.
    pub(crate) fn obstacle(
        &self,
        name: &str,
        recipient: &Address,
        from: Option<&Address>,
    ) -> Option<Standing> {
        let (connector, filter) = self.filtered().find(|(it, _)| it.name == name)?;
        let domain = self.domain_of(recipient).ok();
        rank(connector, domain.as_ref(), filter.fit(from)).err()
    }
}

fn rank<'a>(
    connector: &'a OutboundConnector,
    domain: Option<&Domain>,
    fit: Option<Fit>,
) -> Result<Rank<'a>, Standing> {
    if !connector.enabled {
        return Err(Standing::Disabled);
    }
    let patterns = connector.recipient_domains.iter();
    let how = patterns.filter_map(|pattern| how_specific(pattern, domain?)).max();
    let how = how.ok_or(Standing::OtherRecipients)?;
    let fit = fit.ok_or(Standing::OtherFrom)?;
    if connector.is_transport_rule_scoped {
        return Err(Standing::RulesOnly);
    }
    Ok((how, fit, Reverse(connector.priority), Reverse(&connector.name)))
}

fn behind(rank: Rank<'_>, best: Option<Rank<'_>>) -> Standing {
    let Some(best) = best.filter(|best| *best != rank) else { return Standing::Chosen };
    if best.0 != rank.0 {
        Standing::WiderRecipients
    } else if best.1 != rank.1 {
        Standing::WiderFrom
    } else if best.2 != rank.2 {
        Standing::Priority
    } else {
        Standing::Name
    }
}

/// How specific a pattern is that holds `domain`; none if it does not.
fn how_specific(pattern: &str, domain: &Domain) -> Option<usize> {
    if pattern == "*" {
        return Some(0);
    }
    let Some(parent) = pattern.strip_prefix("*.") else {
        return Domain::parse(pattern).is_ok_and(|exact| exact == *domain).then_some(usize::MAX);
    };
    let parent = Domain::parse(parent).ok().filter(|_| domain.literal().is_none())?;
    domain.is_below(&parent).then_some(parent.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(
        name: &str,
        domains: &[&str],
        filter: &[&str],
        priority: u32,
    ) -> OutboundConnector {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        OutboundConnector {
            name: name.to_owned(),
            recipient_domains: strings(domains),
            from_filter: strings(filter),
            priority,
            ..OutboundConnector::default()
        }
    }

    #[test]
    fn each_connector_says_why_it_is_not_the_one() {
        let off = OutboundConnector { enabled: false, ..connector("off", &["*"], &[], 0) };
        let rules = OutboundConnector {
            is_transport_rule_scoped: true,
            ..connector("rules", &["*"], &[], 0)
        };
        let all = vec![
            off,
            rules,
            connector("b", &["*.x.example"], &["own.example"], 5),
            connector("a", &["*.x.example", "*"], &["own.example"], 5),
            connector("late", &["*.x.example"], &["own.example"], 6),
            connector("any-from", &["*.X.example"], &[], 1),
            connector("wide", &["*.example"], &["s@own.example"], 1),
            connector("exact", &["m.x.example"], &["s@own.example"], 1),
            connector("other", &["y.example"], &[], 1),
        ];
        let router = Router::new(all).unwrap();
        let address = |text: &str| Address::parse(text).unwrap();
        let seen = router.candidates(&address("r@m.x.example"), Some(&address("t@own.example")));
        let standings: Vec<_> = seen.iter().map(|it| it.standing).collect();
        assert_eq!(
            standings,
            [
                Standing::Disabled,
                Standing::RulesOnly,
                Standing::Name,
                Standing::Chosen,
                Standing::Priority,
                Standing::WiderFrom,
                Standing::OtherFrom,
                Standing::OtherFrom,
                Standing::OtherRecipients,
            ]
        );
        // What is said is what is done.
        for to in ["r@m.x.example", "r@x.example", "r@y.example", "r@[192.0.2.1]", "r@example"] {
            for from in [None, Some("s@own.example"), Some("t@own.example"), Some("u@z.example")] {
                let (to, from) = (address(to), from.map(address));
                let all = router.candidates(&to, from.as_ref());
                let mut chosen = all.iter().filter(|it| it.standing == Standing::Chosen);
                let said = chosen.next().map(|it| it.connector.name.as_str());
                let done = router.choose(&to, from.as_ref()).map(|it| it.name.as_str());
                assert_eq!((said, chosen.next()), (done, None), "{to} {from:?}");
            }
        }
    }
}
