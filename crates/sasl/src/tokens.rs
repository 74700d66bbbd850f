//! Tokens of an identity provider (RFC 7519): whether one is good, and whom it names.

mod keys;
mod source;

use std::collections::HashMap;

use jsonwebtoken::{Algorithm as Signed, Header, Validation};
use serde_json::Value;
use units::Clock;

use crate::config::{self, Algorithm};
use crate::metrics::Metrics;
use crate::text::shown;
use crate::tokens::keys::Key;
use crate::tokens::source::Source;

pub use source::TokensError;

/// Why a token does not log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// It is no good; the words say why.
    Wrong(String),
    /// Nobody can tell now; the words say why.
    Unavailable(String),
}

/// Checks tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    config: config::Tokens,
    source: Source,
    clock: Clock,
}

type Claims = HashMap<String, Value>;

impl Tokens {
    /// Reads a file of keys, or gets ready to fetch them. Blocks on files.
    pub(crate) fn open(
        config: &config::Tokens,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, TokensError> {
        Ok(Self { config: config.clone(), source: Source::open(config, metrics)?, clock })
    }

    /// Reads the file of keys again; fetched ones are left to [`Self::keep_keys_fresh`]. Blocks on files.
    pub(crate) fn reload(&self) -> Result<(), TokensError> {
        self.source.reload()
    }

    /// Fetches the keys now and then; never ends.
    pub(crate) async fn keep_keys_fresh(&self) {
        loop {
            let is_done = self.source.refresh().await.is_ok();
            let usual = self.config.keys_refresh.as_duration().max(source::FETCH_REST);
            tokio::time::sleep(if is_done { usual } else { source::FETCH_REST }).await;
        }
    }

    /// The scope to ask for; empty if none is known.
    pub(crate) fn scope(&self) -> &str {
        &self.config.scope
    }

    /// Checks a token; the value of the claim that names the account.
    pub(crate) async fn check(&self, token: &str) -> Result<String, TokenFault> {
        let wrong = |words: &str| TokenFault::Wrong(words.to_owned());
        let header = jsonwebtoken::decode_header(token).map_err(|_| {
            wrong("the token is not a signed one (JWT), or is signed in a way that is not known")
        })?;
        let allowed =
            self.config.algorithms.iter().copied().map(signed).any(|alg| alg == header.alg);
        if !allowed {
            return Err(TokenFault::Wrong(format!(
                "the token is signed with {:?}, which is not allowed",
                header.alg
            )));
        }
        if header.crit.is_some() {
            return Err(wrong("the token demands that an extension be understood"));
        }
        let key = self.key(&header).await?;
        let mut validation = Validation::new(header.alg);
        // The machine's clock would be asked; ours is asked below, and what else a token must say is looked at there.
        (validation.validate_exp, validation.validate_aud) = (false, false);
        validation.required_spec_claims.clear();
        let token = jsonwebtoken::decode::<Claims>(token, key.decoding(), &validation)
            .map_err(|_| wrong("the token's signature is wrong, or its content is no JSON"))?;
        self.claims(&token.claims)
    }

    /// The key that signed, after one fetch if it is not known.
    async fn key(&self, header: &Header) -> Result<Key, TokenFault> {
        if let Some(key) = self.source.current().find(header) {
            return Ok(key);
        }
        self.source.refresh_soon(self.clock.now()).await;
        let keys = self.source.current();
        match keys.find(header) {
            Some(key) => Ok(key),
            None if keys.is_empty() => Err(TokenFault::Unavailable(
                "the identity provider's keys are not here yet".to_owned(),
            )),
            None => {
                let id = header
                    .kid
                    .as_deref()
                    .map_or_else(|| "no id".to_owned(), |id| format!("id `{}`", shown(id)));
                Err(TokenFault::Wrong(format!(
                    "the token is signed with a key that the provider does not name ({id})"
                )))
            }
        }
    }

    fn claims(&self, claims: &Claims) -> Result<String, TokenFault> {
        let wrong = |words: String| Err(TokenFault::Wrong(words));
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(&self.config.issuer) {
            return wrong(format!(
                "the token was given by `{}`",
                shown(text("iss").unwrap_or_default())
            ));
        }
        let is_for_us = |value: &Value| {
            value
                .as_str()
                .is_some_and(|audience| self.config.audience.iter().any(|ours| ours == audience))
        };
        let audience = match claims.get("aud") {
            Some(Value::Array(list)) => list.iter().any(is_for_us),
            Some(one) => is_for_us(one),
            None => false,
        };
        if !audience {
            return wrong("the token is made out for somebody else (aud)".to_owned());
        }
        self.times(claims)?;
        match text(&self.config.claim) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => wrong(format!("the token has no claim `{}`", self.config.claim)),
        }
    }

    fn times(&self, claims: &Claims) -> Result<(), TokenFault> {
        let wrong = |words: &str| Err(TokenFault::Wrong(words.to_owned()));
        let millis =
            |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (now, leeway) = (self.clock.unix_millis(), millis(self.config.leeway.as_duration()));
        let time = |value: &Value| {
            let seconds = value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds))?;
            Some(millis(std::time::Duration::from_secs_f64(seconds)))
        };
        match claims.get("exp").map(time) {
            Some(Some(end)) if now < end.saturating_add(leeway) => {}
            Some(Some(_)) => return wrong("the token has expired"),
            _ => return wrong("the token does not say when it expires"),
        }
        match claims.get("nbf").map(time) {
            None => Ok(()),
            Some(Some(start)) if start <= now.saturating_add(leeway) => Ok(()),
            Some(_) => wrong("the token is not valid yet"),
        }
    }
}

const fn signed(algorithm: Algorithm) -> Signed {
    match algorithm {
        Algorithm::Rs256 => Signed::RS256,
        Algorithm::Rs384 => Signed::RS384,
        Algorithm::Rs512 => Signed::RS512,
        Algorithm::Ps256 => Signed::PS256,
        Algorithm::Ps384 => Signed::PS384,
        Algorithm::Ps512 => Signed::PS512,
        Algorithm::Es256 => Signed::ES256,
        Algorithm::Es384 => Signed::ES384,
        Algorithm::EdDsa => Signed::EdDSA,
    }
}

#[cfg(test)]
pub(crate) mod tests;
