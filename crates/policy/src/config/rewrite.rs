//! Whose name mail leaves under, as an operator writes it.

use mail::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[rewrite]`: what is done with mail whose From no outbound connector takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// The local part, or the whole address, that replaces a From that no outbound connector takes, such as
    /// `notifications`. The display name stays, and what stood there goes into Reply-To unless the message has one.
    /// Left out, such mail is refused with 550 5.7.1.
    pub default_from: Option<String>,
    /// The domain of `default_from`, if that is a local part alone; mail whose From is replaced leaves with its MAIL FROM
    /// there, too, so that SPF and DMARC agree (RFC 7489 §3.1).
    pub alias_domain: Option<String>,
}

/// Why a default From is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address; write a local part and set `alias_domain`, or a whole address")]
pub struct RewriteError(String);

impl Rewrite {
    /// The default From.
    ///
    /// # Errors
    /// When the parts make no address.
    pub fn address(&self) -> Result<Option<Address>, RewriteError> {
        let Some(default) = &self.default_from else { return Ok(None) };
        let whole = match &self.alias_domain {
            Some(domain) if !default.contains('@') => format!("{default}@{domain}"),
            _ => default.clone(),
        };
        let address = Address::parse(&whole).ok().filter(|address| address.domain().is_some());
        address.map(Some).ok_or(RewriteError(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_local_part_or_an_address() {
        let with = |default: Option<&str>, domain: Option<&str>| {
            let [default_from, alias_domain] = [default, domain].map(|it| it.map(str::to_owned));
            let address = Rewrite { default_from, alias_domain }.address();
            address.map(|address| address.map(|it| it.as_str().to_owned()))
        };
        let address = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(with(None, Some("x.example")), Ok(None));
        assert_eq!(with(Some("a"), Some("x.example")), address("a@x.example"));
        assert_eq!(with(Some("a@y.example"), Some("x.example")), address("a@y.example"));
        assert_eq!(with(Some("a"), None), Err(RewriteError("a".to_owned())));
        assert_eq!(
            with(Some("a b"), Some("x.example")),
            Err(RewriteError("a b@x.example".to_owned()))
        );
    }
}
