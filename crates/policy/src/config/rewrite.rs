//! Whose name mail leaves under, as an operator writes it.

use std::path::PathBuf;

use mail::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// `[rewrite]`: what is done with mail whose From no outbound connector takes, and the domain of return paths of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// The local part, or the whole address, that replaces a From that no outbound connector takes, such as
    /// `notifications`. The display name stays, and what stood there goes into Reply-To unless the message has one.
    /// Left out, such mail is refused with 550 5.7.1.
    pub default_from: Option<String>,
    /// The domain of `default_from`, if that is a local part alone; mail whose From is replaced leaves with its MAIL FROM
    /// there, too, so that SPF and DMARC agree (RFC 7489 §3.1). Also the domain of what `return_path` of an `[[outbound]]`
    /// puts into MAIL FROM: its MX must lead here, since bounces come to it.
    pub alias_domain: Option<String>,
    /// What is done with mail whose From is of somebody else, as when an application passes on what a customer wrote: of a
    /// domain that is neither a `[[domain]]`, nor below one, nor `alias_domain`. Where the domain's owner wants DMARC to
    /// keep others from its name (`p=quarantine` or `p=reject`), such mail does not arrive (RFC 9989 §7.4). While that
    /// cannot be found out, mail is refused with 451 4.4.3.
    pub foreign_from: ForeignFrom,
    /// A file of secrets that sign these return paths, one a line, each of 16 octets or more: the first one signs, all of
    /// them verify, so that a secret is replaced by one before it. Read at start and at reload. Needed once an
    /// `[[outbound]]` has a `return_path` other than `keep`.
    pub secrets_file: Option<PathBuf>,
    /// How long bounces come back: later ones are refused with 550 5.7.1.
    pub return_path_age_max: Span,
}

impl Default for Rewrite {
    fn default() -> Self {
        Self {
            default_from: None,
            alias_domain: None,
            foreign_from: ForeignFrom::Keep,
            secrets_file: None,
            return_path_age_max: Span::hours(21 * 24),
        }
    }
}

/// What is done with a From of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignFrom {
    /// It stays.
    #[default]
    Keep,
    /// `default_from` replaces it where its owner has a strict policy.
    ReplaceProtected,
    /// Mail is refused with 550 5.7.1 where its owner has a strict policy.
    RefuseProtected,
    /// `default_from` always replaces it.
    Replace,
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
            let rewrite = Rewrite { default_from, alias_domain, ..Rewrite::default() };
            let address = rewrite.address();
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
