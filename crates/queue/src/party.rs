//! Whom a message is from or for, as an operator looks for them.

use mail::{Address, Domain, ReversePath};

/// What an address has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// The null sender, that of reports.
    Nobody,
    /// Anybody of exactly this domain.
    Of(Domain),
    /// An address that holds this text, in small letters.
    Holds(Box<str>),
}

impl Party {
    /// Reads `<>`, `@` and a domain, or a part of an address; case does not matter.
    pub fn parse(text: &str) -> Self {
        let domain = text.strip_prefix('@').and_then(|domain| Domain::parse(domain).ok());
        match domain {
            Some(domain) => Self::Of(domain),
            None if text == "<>" => Self::Nobody,
            None => Self::Holds(text.to_lowercase().into()),
        }
    }

    /// Whether `address` is one of them.
    pub fn is(&self, address: &Address) -> bool {
        match self {
            Self::Nobody => false,
            Self::Of(domain) => address.domain().as_ref() == Some(domain),
            Self::Holds(text) => address.as_str().to_lowercase().contains(&**text),
        }
    }

    /// Whether a message with this sender is from one of them.
    pub fn is_sender(&self, sender: &ReversePath) -> bool {
        sender.address().map_or(*self == Self::Nobody, |address| self.is(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_domains_and_nobody() {
        for (text, address, want) in [
            ("ana", "Ana.B@sender.example", true),
            ("B@SENDER", "ana.b@sender.example", true),
            ("bo", "ana.b@sender.example", false),
            ("@sender.example", "a@Sender.Example", true),
            ("@sender.example", "a@sub.sender.example", false),
            ("sender.example", "a@sub.sender.example", true),
            ("@", "a@b.example", true),
            ("<>", "a@b.example", false),
        ] {
            let address = Address::parse(address).unwrap();
            assert_eq!(Party::parse(text).is(&address), want, "{text} {address}");
            let sender = ReversePath::Address(address);
            assert_eq!(Party::parse(text).is_sender(&sender), want, "{text}");
        }
        assert!(Party::parse("<>").is_sender(&ReversePath::Null));
        assert!(!Party::parse("@b.example").is_sender(&ReversePath::Null));
        assert!(!Party::parse("a").is_sender(&ReversePath::Null));
    }
}
