//! Hooks: a program of the operator's own, asked by JSON over HTTP.

mod post;
mod reply;

use aws_lc_rs::hmac;
use reqwest::Url;
use units::Clock;

use crate::answer::Answer;
use crate::config::{Config, Shown};
use crate::error::AskError;
use crate::http::{self, Http, is_private};
use crate::question::Question;
use crate::secret::Secret;

/// One hook.
pub(crate) struct Hook {
    filter: String,
    http: Http,
    url: Url,
    token: Option<Secret>,
    signature_key: Option<hmac::Key>,
    shown: Shown,
    clock: Clock,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Hook({})", self.filter)
    }
}

impl Hook {
    /// What is wrong with the settings: the key, and words. Blocks on files.
    pub(crate) fn new(config: &Config, clock: Clock) -> Result<Self, (&'static str, String)> {
        let url = http::address(&config.address).map_err(|it| ("address", it.to_owned()))?;
        let http = Http::new(usize::from(config.connections_max)).map_err(|it| ("address", it))?;
        let token = config.token_file.as_deref().map(Secret::read).transpose();
        let token = token.map_err(|error| ("token_file", error.to_string()))?;
        if token.is_some() && !is_private(&url) {
            let words = "is only sent over TLS or to this machine; write an address that begins with https://";
            return Err(("token_file", words.to_owned()));
        }
        let key = config.signature_key_file.as_deref().map(Secret::read).transpose();
        let key = key.map_err(|error| ("signature_key_file", error.to_string()))?;
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_str().as_bytes()));
        let (filter, shown) = (config.name.clone(), config.shown);
        Ok(Self { filter, http, url, token, signature_key: key, shown, clock })
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, AskError> {
        let body = post::body(&self.filter, question, self.shown)?;
        let mut request = self.http.post(&self.url).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.as_str());
        }
        if let Some(key) = &self.signature_key {
            let seconds = self.clock.unix_millis() / 1000;
            request = request.header("x-chasqui-signature", signature(key, seconds, &body));
        }
        let answer = reply::read(&http::answer(request.body(body)).await?)?;
        let is_early = !question.stage.has_content();
        if is_early
            && (!answer.changes.is_empty() || answer.hold.is_some() || answer.class.is_some())
        {
            return Err(AskError::protocol(
                "it holds, classes or changes a message before its content is there",
            ));
        }
        Ok(answer)
    }
}

/// `t=seconds,v1=hex`, over the seconds, a dot and the body.
fn signature(key: &hmac::Key, seconds: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let mut text = format!("t={seconds},v1=");
    for byte in context.sign().as_ref() {
        text.extend(
            [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `printf '1700000000.{}' | openssl dgst -sha256 -hmac key` says.
    #[test]
    fn a_signature_covers_time_and_body() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        assert_eq!(
            signature(&key, 1_700_000_000, b"{}"),
            "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
        );
        assert_ne!(
            signature(&key, 1_700_000_001, b"{}").split_once("v1=").unwrap().1,
            "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
        );
    }
}
