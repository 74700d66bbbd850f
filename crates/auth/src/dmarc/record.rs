//! The record at `_dmarc` (RFC 9989 §4.7, and `pct` of RFC 7489).

use crate::finding::{Nearness, Policy};

/// Report addresses of a record that are looked at.
const ADDRESSES_MAX: usize = 10;

/// A record as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Record {
    domain: Option<Policy>,
    pub subdomain: Option<Policy>,
    pub missing: Option<Policy>,
    pub percent: u8,
    pub is_test: bool,
    pub dkim: Nearness,
    pub spf: Nearness,
    pub boundary: Option<Boundary>,
    pub aggregate_reports: Vec<String>,
    pub failure_reports: Vec<String>,
    pub text: String,
}

/// What `psd=` says of the name the record is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// `psd=n`: an organization's domain.
    Organization,
    /// `psd=y`: a public suffix, below which organizations are.
    PublicSuffix,
}

impl Record {
    /// Reads a record; none if `text` is something else. Tags that cannot be read count as absent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut tags = text.split(';').map(|tag| {
            let (name, value) = tag.split_once('=').unwrap_or((tag, ""));
            (name.trim().to_ascii_lowercase(), value.trim())
        });
        let (name, version) = tags.next()?;
        if name != "v" || version != "DMARC1" {
            return None;
        }
        let mut record = Self { percent: 100, text: text.to_owned(), ..Self::default() };
        for (name, value) in tags {
            let is = |word: &str| value.eq_ignore_ascii_case(word);
            let nearness = || if is("s") { Nearness::Strict } else { Nearness::Relaxed };
            match name.as_str() {
                "p" => record.domain = policy(value),
                "sp" => record.subdomain = policy(value),
                "np" => record.missing = policy(value),
                "adkim" => record.dkim = nearness(),
                "aspf" => record.spf = nearness(),
                "t" => record.is_test = is("y"),
                "pct" => record.percent = value.parse().ok().filter(|it| *it <= 100).unwrap_or(100),
                "psd" if is("y") => record.boundary = Some(Boundary::PublicSuffix),
                "psd" if is("n") => record.boundary = Some(Boundary::Organization),
                "rua" => record.aggregate_reports = addresses(value),
                "ruf" => record.failure_reports = addresses(value),
                _ => {}
            }
        }
        Some(record)
    }

    /// The policy; without a good one, reports that are wanted make it `none`, else the record counts as absent.
    pub(crate) fn policy(&self) -> Option<Policy> {
        let reported = (!self.aggregate_reports.is_empty()).then_some(Policy::None);
        self.domain.or(reported)
    }
}

fn policy(word: &str) -> Option<Policy> {
    [Policy::None, Policy::Quarantine, Policy::Reject]
        .into_iter()
        .find(|policy| word.eq_ignore_ascii_case(policy.word()))
}

fn addresses(list: &str) -> Vec<String> {
    let address = |uri: &str| {
        let uri = uri.trim();
        let scheme = uri.get(..7).filter(|it| it.eq_ignore_ascii_case("mailto:"))?;
        let address = uri.get(scheme.len()..)?.split('!').next()?;
        address.contains('@').then(|| address.to_owned())
    };
    list.split(',').filter_map(address).take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let record = Record::parse(
            "v=DMARC1; p=Reject;sp=none ; np=quarantine; adkim=s; pct=50; t=y; psd=n; \
             rua=mailto:a@example.com!10m, mailto:b@example.com,https://x; ruf=mailto:c@example.com",
        )
        .unwrap();
        assert_eq!(record.policy(), Some(Policy::Reject));
        assert_eq!(
            (record.subdomain, record.missing),
            (Some(Policy::None), Some(Policy::Quarantine))
        );
        assert_eq!((record.dkim, record.spf), (Nearness::Strict, Nearness::Relaxed));
        assert_eq!((record.percent, record.is_test), (50, true));
        assert_eq!(record.boundary, Some(Boundary::Organization));
        assert_eq!(record.aggregate_reports, ["a@example.com", "b@example.com"]);
        assert_eq!(record.failure_reports, ["c@example.com"]);
    }

    #[test]
    fn what_is_wrong_counts_as_absent() {
        for text in ["v=spf1 -all", "v=dmarc1; p=none", "p=none; v=DMARC1", ""] {
            assert_eq!(Record::parse(text), None, "{text}");
        }
        assert_eq!(Record::parse("v=DMARC1").unwrap().policy(), None);
        assert_eq!(Record::parse("v=DMARC1; p=rejct").unwrap().policy(), None);
        let record = Record::parse("v=DMARC1; p=x; pct=101; rua=mailto:a@b.example").unwrap();
        assert_eq!((record.policy(), record.percent), (Some(Policy::None), 100));
    }
}
