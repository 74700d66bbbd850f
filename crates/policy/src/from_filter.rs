//! Whose mail an outbound connector takes, by the From of its header.

use mail::{Address, Domain};

/// How well a From fits a filter; the best is the most specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// There is no filter.
    Any,
    /// It is below a domain.
    Below,
    /// It is of a domain.
    Domain,
    /// It is the address.
    Address,
}

/// The entries of `from_filter`.
#[derive(Clone, Debug, Default)]
pub(crate) struct FromFilter {
    /// In lower case.
    addresses: Vec<Box<str>>,
    domains: Vec<Domain>,
    below: Vec<Domain>,
}

impl FromFilter {
    /// Reads the entries.
    ///
    /// # Errors
    /// The entry that is none.
    pub(crate) fn parse(entries: &[String]) -> Result<Self, String> {
        let mut filter = Self::default();
        for entry in entries {
            let domain = |text: &str| Domain::parse(text).map_err(|_| entry.clone());
            if entry.contains('@') {
                let address = Address::parse(entry).map_err(|_| entry.clone())?;
                filter.addresses.push(lower(&address));
            } else if let Some(parent) = entry.strip_prefix("*.") {
                filter.below.push(domain(parent)?);
            } else {
                filter.domains.push(domain(entry)?);
            }
        }
        Ok(filter)
    }

    /// Whether mail is taken whatever its From.
    pub(crate) const fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.domains.is_empty() && self.below.is_empty()
    }

    /// How well `from` fits; none if mail from there is not taken.
    pub(crate) fn fit(&self, from: Option<&Address>) -> Option<Fit> {
        if self.is_empty() {
            return Some(Fit::Any);
        }
        let from = from?;
        if !self.addresses.is_empty() && self.addresses.contains(&lower(from)) {
            return Some(Fit::Address);
        }
        let domain = from.domain()?;
        if self.domains.contains(&domain) {
            return Some(Fit::Domain);
        }
        self.below.iter().any(|parent| domain.is_below(parent)).then_some(Fit::Below)
    }
}

/// Whether an entry names senders: an address, a domain, or `*.` and a domain.
pub fn is_sender_pattern(entry: &str) -> bool {
    FromFilter::parse(std::slice::from_ref(&entry.to_owned())).is_ok()
}

/// As addresses are compared here: few servers tell the case of a local part apart.
fn lower(address: &Address) -> Box<str> {
    address.as_str().to_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_an_address_a_domain_or_what_is_below_one() {
        let filter = |entries: &[&str]| {
            FromFilter::parse(&entries.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let all = filter(&["A@x.example", "y.example", "*.z.example"]).unwrap();
        for (from, want) in [
            ("a@X.example", Some(Fit::Address)),
            ("b@x.example", None),
            ("b@Y.example", Some(Fit::Domain)),
            ("b@sub.y.example", None),
            ("b@z.example", None),
            ("b@deep.sub.z.example", Some(Fit::Below)),
            ("b@notz.example", None),
        ] {
            assert_eq!(all.fit(Some(&Address::parse(from).unwrap())), want, "{from}");
        }
        assert_eq!(all.fit(None), None);
        assert_eq!(filter(&[]).unwrap().fit(None), Some(Fit::Any));
        for wrong in ["a@", "@x.example", "x..example", "*x.example", ""] {
            assert_eq!(filter(&[wrong]).unwrap_err(), wrong);
        }
    }
}
