//! The HTTP that rspamd and hooks are asked by: bounded, without redirects.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use telemetry::Causes;

use crate::error::AskError;
use crate::words::shown;

/// Larger answers are none.
const ANSWER_OCTETS_MAX: usize = 1 << 20;

/// Asks one service.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client);

impl Http {
    /// Keeps at most so many idle connections.
    pub(crate) fn new(idle_max: usize) -> Result<Self, String> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(idle_max)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .user_agent("chasqui");
        builder.build().map(Self).map_err(words)
    }

    pub(crate) fn post(&self, url: &Url) -> RequestBuilder {
        self.0.post(url.clone())
    }

    pub(crate) fn head(&self, url: &Url) -> RequestBuilder {
        self.0.head(url.clone())
    }
}

/// The content of a good answer; others are none.
pub(crate) async fn answer(request: RequestBuilder) -> Result<Vec<u8>, AskError> {
    let no_answer = |error| AskError::Http(words(error));
    let mut response = request.send().await.map_err(no_answer)?;
    if response.status().as_u16() != 200 {
        return Err(AskError::Http(format!("status {}", response.status().as_u16())));
    }
    let mut content = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(no_answer)? {
        if content.len() + piece.len() > ANSWER_OCTETS_MAX {
            return Err(AskError::protocol("an answer larger than 1 MiB"));
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

/// Reads an address.
pub(crate) fn address(text: &str) -> Result<Url, &'static str> {
    let form = "is not an address such as \"http://127.0.0.1:11333\"";
    let url = Url::parse(text).map_err(|_| form)?;
    let is_known = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_known { Ok(url) } else { Err(form) }
}

/// Whether nobody else reads what is sent there: it is encrypted or stays on this machine.
pub(crate) fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    url.scheme() == "https" || host == "localhost" || literal.is_ok_and(|ip| ip.is_loopback())
}

/// The error without the address, which may hold secrets.
fn words(error: reqwest::Error) -> String {
    shown(&Causes(&error.without_url()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, want) in [
            ("https://a.example/x", true),
            ("http://127.0.0.1:1/", true),
            ("http://[::1]/", true),
            ("http://localhost", true),
            ("http://a.example/", false),
            ("http://127.0.0.1.example/", false),
        ] {
            assert_eq!(is_private(&address(text).unwrap()), want, "{text}");
        }
        for bad in ["", "a.example", "ftp://a.example/", "unix:/x"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
