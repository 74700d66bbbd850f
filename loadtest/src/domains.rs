//! Whose mail it is: the recipient domains.

use anyhow::{Context, ensure};
use rand_distr::{Distribution, Zipf};
use serde::Deserialize;

use crate::random::{Throw, generator};

/// The recipient domains: so many, in turn, or a few often and many seldom.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, deny_unknown_fields, expecting = "a number of domains, or { count, zipf }")]
pub(crate) enum Domains {
    /// `domains = 1000`: each in turn.
    InTurn(u64),
    /// `domains = { count = 1000, zipf = 1.1 }`: by Zipf's law with that exponent; 0 means all equally often.
    Zipf {
        /// How many there are.
        count: u64,
        /// The exponent.
        zipf: f64,
    },
}

/// There are no more.
const COUNT_MAX: u64 = 1_000_000;

/// The domain of each recipient.
#[derive(Clone, Debug)]
pub(crate) enum DomainTable {
    InTurn(u64),
    Zipf(Zipf<f64>),
}

impl DomainTable {
    /// # Errors
    /// If there are none or more than a million, or the exponent is below 0.
    pub(crate) fn new(domains: &Domains) -> anyhow::Result<Self> {
        let (Domains::InTurn(count) | Domains::Zipf { count, .. }) = *domains;
        ensure!((1..=COUNT_MAX).contains(&count), "{count} domains: there may be 1 to {COUNT_MAX}");
        match *domains {
            Domains::InTurn(count) => Ok(Self::InTurn(count)),
            Domains::Zipf { count, zipf } => Ok(Self::Zipf(
                Zipf::new(float(count), zipf)
                    .with_context(|| format!("zipf = {zipf} is no exponent"))?,
            )),
        }
    }

    /// The number of the domain of recipient `place` of message `number`; 0 is the most frequent.
    pub(crate) fn of(&self, seed: u64, number: u64, place: u32) -> u64 {
        match self {
            Self::InTurn(count) => number.wrapping_add(u64::from(place)) % count,
            Self::Zipf(curve) => {
                // A message has fewer recipients than this.
                let throw = number.wrapping_mul(1 << 20).wrapping_add(u64::from(place));
                rank(curve.sample(&mut generator(seed, throw, Throw::Domain))).saturating_sub(1)
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a million fits a float exactly")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the curve gives whole numbers from 1 to a million"
)]
fn rank(rank: f64) -> u64 {
    rank as u64
}

/// Some of the domains, such as `"0..10"` or `"7"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DomainRange {
    first: u64,
    end: u64,
}

impl DomainRange {
    /// # Errors
    /// If the text is neither a number nor two with `..` between.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let range = match text.split_once("..") {
            Some((first, end)) => first.trim().parse().ok().zip(end.trim().parse().ok()),
            None => text.trim().parse().ok().map(|first: u64| (first, first.saturating_add(1))),
        };
        let (first, end) = range.filter(|(first, end)| first < end).with_context(|| {
            format!("domains = \"{text}\": write the numbers of domains as in \"0..10\" or \"7\"")
        })?;
        Ok(Self { first, end })
    }

    pub(crate) fn holds(&self, domain: u64) -> bool {
        (self.first..self.end).contains(&domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(domains: &Domains, messages: u64) -> Vec<u64> {
        let table = DomainTable::new(domains).unwrap();
        let mut counts = vec![0; 1_000];
        for number in 0..messages {
            counts[usize::try_from(table.of(9, number, 0)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn in_turn_each_comes_equally_often() {
        assert_eq!(counts(&Domains::InTurn(1_000), 5_000), vec![5; 1_000]);
        let table = DomainTable::new(&Domains::InTurn(10)).unwrap();
        assert_eq!((table.of(1, 8, 0), table.of(1, 8, 3)), (8, 1));
    }

    /// With the exponent 1, the k-th domain gets 1/k of what the first gets.
    #[test]
    fn by_zipf_the_first_comes_most_often() {
        let counts = counts(&Domains::Zipf { count: 1_000, zipf: 1.0 }, 100_000);
        let first = counts[0];
        assert!((12_800..13_900).contains(&first), "1 of 7.485 expected, {first}");
        assert!((first / 2 - 500..first / 2 + 500).contains(&counts[1]), "{}", counts[1]);
        assert!((first / 10 - 200..first / 10 + 200).contains(&counts[9]), "{}", counts[9]);
    }

    #[test]
    fn recipients_of_one_message_have_throws_of_their_own() {
        let table = DomainTable::new(&Domains::Zipf { count: 1_000, zipf: 0.0 }).unwrap();
        let places: std::collections::HashSet<_> =
            (0..20).map(|place| table.of(1, 5, place)).collect();
        assert!(places.len() > 15, "{places:?}");
    }

    #[test]
    fn domains_without_sense_are_refused() {
        for bad in [
            Domains::InTurn(0),
            Domains::InTurn(1_000_001),
            Domains::Zipf { count: 10, zipf: -1.0 },
        ] {
            assert!(DomainTable::new(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let range = DomainRange::parse("2..4").unwrap();
        assert_eq!([1, 2, 3, 4].map(|domain| range.holds(domain)), [false, true, true, false]);
        assert!(DomainRange::parse("7").unwrap().holds(7));
        for bad in ["", "a", "4..2", "1..", "..3", "-1"] {
            assert!(DomainRange::parse(bad).is_err(), "{bad}");
        }
    }
}
