//! rspamd, asked by `POST /checkv2`.

mod reply;

use mail::Address;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::answer::Answer;
use crate::config::Config;
use crate::error::AskError;
use crate::facts::Content;
use crate::http::{self, Http, is_private};
use crate::question::Question;
use crate::secret::Secret;

/// One rspamd.
#[derive(Debug)]
pub(crate) struct Rspamd {
    http: Http,
    url: Url,
    password: Option<Secret>,
    settings_id: Option<String>,
}

impl Rspamd {
    /// What is wrong with the settings: the key, and words. Blocks on a file.
    pub(crate) fn new(config: &Config) -> Result<Self, (&'static str, String)> {
        let mut url = http::address(&config.address).map_err(|it| ("address", it.to_owned()))?;
        if url.path() == "/" {
            url.set_path("/checkv2");
        }
        let http = Http::new(usize::from(config.connections_max)).map_err(|it| ("address", it))?;
        let password = config.password_file.as_deref().map(Secret::read).transpose();
        let password = password.map_err(|error| ("password_file", error.to_string()))?;
        if password.is_some() && !is_private(&url) {
            let words = "is only sent over TLS or to this machine; write an address that begins with https://";
            return Err(("password_file", words.to_owned()));
        }
        Ok(Self { http, url, password, settings_id: config.settings_id.clone() })
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, AskError> {
        let Some(content) = question.content else { return Ok(Answer::default()) };
        let request = self.http.post(&self.url).headers(self.headers(question));
        let answer = http::answer(request.body(whole(content))).await?;
        reply::read(&answer)
    }

    fn headers(&self, question: &Question<'_>) -> HeaderMap {
        let facts = question.facts;
        let mut headers = Headers(HeaderMap::new());
        if let Some(client) = facts.client {
            headers.add("ip", &client.ip().to_canonical().to_string());
        }
        headers.add("helo", &facts.helo);
        headers.add("hostname", facts.client_name.as_deref().unwrap_or_default());
        headers.add("mta-name", &facts.relay);
        headers.add("mta-tag", &facts.scope);
        if let Some(login) = &facts.login {
            headers.add("user", &login.account);
        }
        if let Some(message) = facts.message {
            headers.add("queue-id", &message.to_string());
        }
        if let Some((version, cipher)) = facts.tls.as_deref().and_then(|tls| tls.split_once(' ')) {
            headers.add("tls-version", version);
            headers.add("tls-cipher", cipher);
        }
        if let Some(transaction) = question.transaction {
            headers.add("from", transaction.sender.address().map_or("<>", Address::as_str));
            for recipient in &transaction.recipients {
                headers.add("rcpt", recipient.address.as_str());
            }
        }
        headers.add("settings-id", self.settings_id.as_deref().unwrap_or_default());
        headers.add("password", self.password.as_ref().map_or("", Secret::as_str));
        headers.0
    }
}

/// A content in one piece.
fn whole(content: &Content) -> Vec<u8> {
    let mut whole = Vec::with_capacity(usize::try_from(content.octets()).unwrap_or_default());
    whole.extend_from_slice(content.header().map_or(&b""[..], |header| header));
    for piece in content.rest() {
        whole.extend_from_slice(piece);
    }
    whole
}

struct Headers(HeaderMap);

impl Headers {
    /// Leaves out what is empty or cannot stand in a header.
    fn add(&mut self, name: &'static str, value: &str) {
        if let Ok(mut value) = HeaderValue::from_bytes(value.as_bytes())
            && !value.is_empty()
        {
            value.set_sensitive(name == "password");
            self.0.append(HeaderName::from_static(name), value);
        }
    }
}
