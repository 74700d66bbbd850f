//! The little HTTP that tokens need: bounded, without redirects, encrypted unless it stays on this machine.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use telemetry::Causes;

use crate::text::shown;

/// Larger answers are no keys and no tokens.
const ANSWER_OCTETS_MAX: usize = 256 << 10;

/// Why an address is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("is not an address such as \"https://login.example.com/keys\"")]
    Form,
    #[error("begins with neither https:// nor, for this machine alone, http://localhost")]
    Clear,
}

/// Why there is no answer, in words; without the address, which may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
    #[error("no answer: {0}")]
    NoAnswer(String),
    #[error("the answer is larger than 256 KiB")]
    TooLarge,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) content: Vec<u8>,
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        self.code / 100 == 2
    }
}

/// Reads an address that may be asked.
pub(crate) fn address(text: &str) -> Result<Url, AddressError> {
    let url = Url::parse(text).map_err(|_| AddressError::Form)?;
    let host = url.host_str().ok_or(AddressError::Form)?;
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || literal.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(AddressError::Clear),
    }
}

/// Asks one service.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client);

impl Http {
    /// `wait_max` bounds each question as a whole.
    pub(crate) fn new(wait_max: Duration) -> Result<Self, HttpError> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(wait_max)
            .user_agent("chasqui");
        builder.build().map(Self).map_err(|error| HttpError::Setup(words(error)))
    }

    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, HttpError> {
        answer(self.0.get(url.clone())).await
    }

    pub(crate) async fn post(&self, url: &Url, form: &[(&str, &str)]) -> Result<Answer, HttpError> {
        answer(self.0.post(url.clone()).header("accept", "application/json").form(form)).await
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, HttpError> {
    let no_answer = |error| HttpError::NoAnswer(words(error));
    let mut response = request.send().await.map_err(no_answer)?;
    let code = response.status().as_u16();
    let mut content = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(no_answer)? {
        if content.len() + piece.len() > ANSWER_OCTETS_MAX {
            return Err(HttpError::TooLarge);
        }
        content.extend_from_slice(&piece);
    }
    Ok(Answer { code, content })
}

fn words(error: reqwest::Error) -> String {
    shown(&Causes(&error.without_url()).to_string())
}

#[cfg(test)]
pub(crate) mod tests;
