//! Recipients under a suffix: whoever cannot choose a connector asks for certified mail by the recipient's domain.

use mail::{Address, Domain, EnhancedStatus, Reply};

/// `evidence.example`, below which each recipient domain stands for itself and for certified mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suffix(Domain);

/// Why an address under a suffix is no recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuffixError {
    /// It ends with the suffix and has no domain before it.
    #[error("no recipient domain before {suffix}; write <user@their.example.{suffix}>")]
    Bare {
        /// The suffix.
        suffix: Box<str>,
    },
    /// The suffix stands there twice, as where mail comes back to who sent it.
    #[error("{suffix} stands twice in the recipient domain: a loop")]
    Twice {
        /// The suffix.
        suffix: Box<str>,
    },
    /// It stands for somebody, and certified mail does not come with the plan.
    #[error("{text}")]
    NotInPlan {
        /// What the client is told.
        text: Box<str>,
        /// What the operator is told: the plan and the connector.
        reason: Box<str>,
    },
}

impl SuffixError {
    /// What the client is told at RCPT: 550 5.1.2, 5.4.6, or 5.7.1 (RFC 3463 §3.2, §3.5, §3.8).
    pub fn reply(&self) -> Reply {
        let status = match self {
            Self::Bare { .. } => EnhancedStatus::new(5, 1, 2),
            Self::Twice { .. } => EnhancedStatus::new(5, 4, 6),
            Self::NotInPlan { .. } => EnhancedStatus::new(5, 7, 1),
        };
        Reply::new(550, Some(status), self.to_string())
    }

    /// What the operator is told besides, if there is more to say.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::NotInPlan { reason, .. } => Some(reason),
            Self::Bare { .. } | Self::Twice { .. } => None,
        }
    }
}

impl Suffix {
    /// Reads the setting; none if it is no name of a domain.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Domain::parse(text).ok().filter(Domain::is_host_name).map(Self)
    }

    /// The recipient that an address stands for; none if it is not under the suffix.
    pub(crate) fn recipient(&self, address: &Address) -> Result<Option<Address>, SuffixError> {
        let Some(domain) = address.domain() else { return Ok(None) };
        let suffix = || self.0.as_str().into();
        let Some(before) = domain.as_str().strip_suffix(self.0.as_str()) else { return Ok(None) };
        if before.is_empty() {
            return Err(SuffixError::Bare { suffix: suffix() });
        }
        // Otherwise it is the end of a longer name: `myevidence.example`.
        let Some(before) = before.strip_suffix('.') else { return Ok(None) };
        let rest = before.strip_suffix(self.0.as_str());
        if rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) {
            return Err(SuffixError::Twice { suffix: suffix() });
        }
        // A label alone is no domain to send mail to (RFC 5321 §2.3.5).
        let recipient = Address::parse(&format!("{}@{before}", address.local_part())).ok();
        match recipient.filter(|_| before.contains('.')) {
            Some(recipient) => Ok(Some(recipient)),
            None => Err(SuffixError::Bare { suffix: suffix() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EE-17.
    #[test]
    fn a_suffix_is_taken_off_once() {
        let suffix = Suffix::parse("Evidence.example").unwrap();
        for (address, want) in [
            ("A.b@dest.example.evidence.example", "A.b@dest.example"),
            ("\"a b\"@Dest.example.EVIDENCE.example", "\"a b\"@dest.example"),
            ("a@dest.example", "other"),
            ("a@myevidence.example", "other"),
            ("a@dest.myevidence.example", "other"),
            ("a@evidence.example.dest.example", "other"),
            ("a@[192.0.2.1]", "other"),
            ("postmaster", "other"),
            ("a@evidence.example", "550 5.1.2"),
            ("a@dest.evidence.example", "550 5.1.2"),
            ("a@evidence.example.evidence.example", "550 5.4.6"),
            ("a@dest.example.evidence.example.evidence.example", "550 5.4.6"),
        ] {
            let seen = suffix.recipient(&Address::parse(address).unwrap());
            let seen = match seen {
                Ok(recipient) => recipient.map_or("other".to_owned(), |it| it.as_str().to_owned()),
                Err(error) => error.reply().to_string(),
            };
            assert!(seen == want || seen.starts_with(&format!("{want} ")), "{address}: {seen}");
        }
        for bad in ["", "a b", "[192.0.2.1]"] {
            assert_eq!(Suffix::parse(bad), None, "{bad}");
        }
    }
}
