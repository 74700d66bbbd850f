//! Posts to a program of the operator's own: who it is, and what shows it who we are.

use std::path::Path;

use aws_lc_rs::hmac;
use reqwest::{RequestBuilder, Url};
use units::Clock;

use crate::http::{self, Http, is_private};
use crate::secret::Secret;

/// The field that holds a signature.
pub const SIGNATURE: &str = "x-chasqui-signature";

/// Where to post, as an operator writes it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The address.
    pub url: &'a str,
    /// A file that holds the token to be shown, on one line.
    pub token_file: Option<&'a Path>,
    /// A file that holds the key to sign with, on one line.
    pub signature_key_file: Option<&'a Path>,
    /// Idle connections that are kept.
    pub idle_max: usize,
}

/// What is wrong with a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct TargetError {
    /// The field of it that is wrong.
    pub key: &'static str,
    /// What is wrong with it.
    pub words: String,
}

/// Posts there, without redirects or proxies. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Poster {
    http: Http,
    url: Url,
    token: Option<Secret>,
    signature_key: Option<hmac::Key>,
    clock: Clock,
}

impl Poster {
    /// Reads the secrets. Blocks on files.
    ///
    /// # Errors
    /// What is wrong with the target.
    pub fn open(target: &Target<'_>, clock: Clock) -> Result<Self, TargetError> {
        let wrong = |key, words: String| TargetError { key, words };
        let url = http::address(target.url).map_err(|words| wrong("url", words.to_owned()))?;
        let http = Http::new(target.idle_max).map_err(|words| wrong("url", words))?;
        let secret = |key, file: Option<&Path>| {
            file.map(Secret::read).transpose().map_err(|error| wrong(key, error.to_string()))
        };
        let token = secret("token_file", target.token_file)?;
        if token.is_some() && !is_private(&url) {
            let words = "is only sent over TLS or to this machine; write an address that begins with https://";
            return Err(wrong("token_file", words.to_owned()));
        }
        let key = secret("signature_key_file", target.signature_key_file)?;
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_str().as_bytes()));
        Ok(Self { http, url, token, signature_key: key, clock })
    }

    /// A post that shows the token, if there is one.
    pub fn request(&self) -> RequestBuilder {
        self.shown(self.http.post(&self.url))
    }

    /// A look whether anybody is there (HEAD), which shows the token likewise.
    pub fn look(&self) -> RequestBuilder {
        self.shown(self.http.head(&self.url))
    }

    fn shown(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        }
    }

    /// Whether nobody else reads what is posted: it is encrypted, or stays on this machine.
    pub fn is_private(&self) -> bool {
        is_private(&self.url)
    }

    /// The name of the host that is posted to.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Begins the signature that a post is to have; none if it is to have none.
    pub fn signature(&self) -> Option<Signature> {
        let mut context = hmac::Context::with_key(self.signature_key.as_ref()?);
        let seconds = self.clock.unix_millis() / 1000;
        context.update(format!("{seconds}.").as_bytes());
        Some(Signature { seconds, context })
    }
}

/// The signature of a post: `t=seconds,v1=hex`, the HMAC-SHA-256 of the seconds, a dot and the body.
#[derive(Clone)]
pub struct Signature {
    seconds: u64,
    context: hmac::Context,
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Signature(t={})", self.seconds)
    }
}

impl Signature {
    /// Takes the next octets of the body.
    pub fn update(&mut self, octets: &[u8]) {
        self.context.update(octets);
    }

    /// What [`SIGNATURE`] says.
    pub fn finish(self) -> String {
        let mut text = format!("t={},v1=", self.seconds);
        for byte in self.context.sign().as_ref() {
            let digits = [byte >> 4, byte & 15];
            text.extend(digits.map(|it| char::from_digit(it.into(), 16).unwrap_or('0')));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// As `printf '1700000000.{}' | openssl dgst -sha256 -hmac key` says.
    #[test]
    fn a_signature_covers_time_and_body() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"key\n").unwrap();
        let sign = |millis| {
            let target = Target {
                url: "http://127.0.0.1/",
                token_file: None,
                signature_key_file: Some(file.path()),
                idle_max: 1,
            };
            let poster = Poster::open(&target, Clock::manual(millis)).unwrap();
            let mut signature = poster.signature().unwrap();
            signature.update(b"{");
            signature.update(b"}");
            signature.finish()
        };
        let want =
            "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(sign(1_700_000_000_000), want);
        assert_ne!(
            sign(1_700_000_001_000).split_once("v1=").unwrap().1,
            want.split_once("v1=").unwrap().1
        );
    }
}
