//! Tokens to log in with: from a file, or from a service that gives a new one when the old one ends (RFC 6749).

use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use policy::config;
use reqwest::Url;
use serde::Deserialize;
use telemetry::Causes;
use units::Clock;

use crate::client::error::{LoginError, TokenError};
use crate::http::{self, Answer, Http};
use crate::secret::{Secret, SecretFileError, read_line};
use crate::text::shown;

/// A longer file holds no token.
const TOKEN_OCTETS_MAX: u64 = 16 << 10;
/// A service that refused is left alone for so long; deliveries in between are told the same.
const REFUSED_REST: Duration = Duration::from_secs(15);
/// What a token is good for when the service does not say.
const LIFE_UNKNOWN: Duration = Duration::from_mins(5);

/// Where the tokens of one login come from.
pub(super) struct TokenSource {
    place: Place,
    clock: Clock,
}

enum Place {
    File { file: PathBuf, read: Mutex<Option<(Stamp, Secret)>> },
    Service(Box<Service>),
}

/// What changes when a file does.
type Stamp = (Option<SystemTime>, u64);

impl fmt::Debug for TokenSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TokenSource")
    }
}

impl TokenSource {
    /// Reads the secrets that ask for tokens, or the token itself. Blocks on files.
    pub(super) fn open(config: &config::Token, clock: Clock) -> Result<Self, LoginError> {
        let wrong = |key, words: String| LoginError::Settings { key, words };
        let place = match (&config.file, &config.url) {
            (Some(file), None) => {
                let place = Place::File { file: file.clone(), read: Mutex::new(None) };
                read_line(file, TOKEN_OCTETS_MAX)?;
                place
            }
            (None, Some(url)) => {
                let url =
                    http::address(url).map_err(|error| wrong("token.url", error.to_string()))?;
                Place::Service(Box::new(Service::open(config, url)?))
            }
            _ => {
                return Err(wrong(
                    "token.file",
                    "either this or url says where tokens come from".to_owned(),
                ));
            }
        };
        Ok(Self { place, clock })
    }

    /// A token that is good for a while. Asks for one at a time.
    pub(super) async fn token(&self) -> Result<Secret, TokenError> {
        match &self.place {
            Place::File { file, read } => from_file(file, read),
            Place::Service(service) => service.token(&self.clock).await,
        }
    }

    /// Says that a server refused `token`: it is not used again, unless the service gives the same once more.
    pub(super) fn forget(&self, token: &Secret) {
        match &self.place {
            Place::File { read, .. } => *read.lock() = None,
            Place::Service(service) => *service.refused.lock() = Some(token.clone()),
        }
    }

    /// Whether there may be another token at once.
    pub(super) const fn is_renewable(&self) -> bool {
        matches!(self.place, Place::Service(_))
    }
}

/// A look at the file's facts is all it costs while the file stays as it is.
fn from_file(file: &Path, read: &Mutex<Option<(Stamp, Secret)>>) -> Result<Secret, TokenError> {
    let words = |error: &SecretFileError| TokenError(Causes(error).to_string());
    let facts = std::fs::metadata(file)
        .map_err(|source| words(&SecretFileError::Unreadable { file: file.to_owned(), source }))?;
    let stamp = (facts.modified().ok(), facts.len());
    let mut read = read.lock();
    if let Some((_, token)) = read.as_ref().filter(|(of, _)| *of == stamp) {
        return Ok(token.clone());
    }
    let token = read_line(file, TOKEN_OCTETS_MAX).map_err(|error| words(&error))?;
    *read = Some((stamp, token.clone()));
    Ok(token)
}

struct Service {
    http: Http,
    url: Url,
    client_id: String,
    client_secret: Option<Secret>,
    refresh_token_file: Option<PathBuf>,
    scope: String,
    early: Duration,
    /// The token that a server refused last, until it is replaced. Logins that used it before know only this one.
    refused: Mutex<Option<Secret>>,
    /// Held while a token is asked for, so that one asks for all.
    state: tokio::sync::Mutex<State>,
}

struct State {
    refresh_token: Option<Secret>,
    last: Option<Last>,
    /// When a refused token was replaced last.
    replaced_at: Option<Instant>,
}

enum Last {
    /// Replaced early, at `renew_at`; good until `ends_at`.
    Token {
        token: Secret,
        renew_at: Instant,
        ends_at: Instant,
    },
    Refused {
        error: TokenError,
        until: Instant,
    },
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Seconds>,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// A number; some services write it as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    /// None if it is no life that a token may have.
    fn life(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => *seconds,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        (0.0..1e9).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
    }
}

/// RFC 6749 §5.2.
#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Service {
    fn open(config: &config::Token, url: Url) -> Result<Self, LoginError> {
        let wrong = |key, words: String| LoginError::Settings { key, words };
        if config.client_id.is_empty() {
            return Err(wrong(
                "token.client_id",
                "is empty; the service gave us a name".to_owned(),
            ));
        }
        let secret = |file: &Option<PathBuf>| {
            file.as_deref().map(|file| read_line(file, TOKEN_OCTETS_MAX)).transpose()
        };
        let (client_secret, refresh_token) =
            (secret(&config.client_secret_file)?, secret(&config.refresh_token_file)?);
        if client_secret.is_none() && refresh_token.is_none() {
            let words =
                "is missing, and refresh_token_file too: nothing shows the service who we are";
            return Err(wrong("token.client_secret_file", words.to_owned()));
        }
        let http = Http::new(config.wait_max.as_duration())
            .map_err(|error| wrong("token.url", error.to_string()))?;
        Ok(Self {
            http,
            url,
            client_id: config.client_id.clone(),
            client_secret,
            refresh_token_file: config.refresh_token_file.clone(),
            scope: config.scope.clone(),
            early: config.early.as_duration(),
            refused: Mutex::default(),
            state: tokio::sync::Mutex::new(State { refresh_token, last: None, replaced_at: None }),
        })
    }

    async fn token(&self, clock: &Clock) -> Result<Secret, TokenError> {
        let mut state = self.state.lock().await;
        let is_refused = self.takes_refusal(&mut state, clock.now());
        let now = clock.now();
        match &state.last {
            Some(Last::Token { token, renew_at, .. }) if now < *renew_at && !is_refused => {
                return Ok(token.clone());
            }
            Some(Last::Refused { error, until }) if now < *until => {
                return Err(error.clone());
            }
            _ => {}
        }
        match self.ask(&mut state).await {
            Ok((token, life)) => {
                let now = clock.now();
                let (renew_at, ends_at) = (now + life.saturating_sub(self.early), now + life);
                state.last = Some(Last::Token { token: token.clone(), renew_at, ends_at });
                Ok(token)
            }
            Err(error) => {
                let until = clock.now() + REFUSED_REST;
                if let Some(Last::Token { token, renew_at, ends_at }) = &mut state.last
                    && until < *ends_at
                    && !is_refused
                {
                    // It was to be replaced early; there is time to ask again.
                    tracing::warn!(%error, "a token cannot be renewed yet, the old one is used on");
                    *renew_at = until;
                    return Ok(token.clone());
                }
                state.last = Some(Last::Refused { error: error.clone(), until });
                Err(error)
            }
        }
    }

    /// Whether the token at hand was refused and is to be replaced. A host that refuses every token does not make us ask
    /// for a new one at each connection.
    fn takes_refusal(&self, state: &mut State, now: Instant) -> bool {
        let Some(refused) = self.refused.lock().take() else { return false };
        let Some(Last::Token { token, .. }) = &state.last else { return false };
        let is_resting = state.replaced_at.is_some_and(|at| now < at + REFUSED_REST);
        if token.as_bytes() != refused.as_bytes() || is_resting {
            return false;
        }
        state.replaced_at = Some(now);
        true
    }

    async fn ask(&self, state: &mut State) -> Result<(Secret, Duration), TokenError> {
        let about = |words: &str| {
            TokenError(format!("{}: {words}", self.url.host_str().unwrap_or_default()))
        };
        let answer = {
            let mut form = match &state.refresh_token {
                Some(token) => {
                    vec![("grant_type", "refresh_token"), ("refresh_token", token.as_str())]
                }
                None => vec![("grant_type", "client_credentials")],
            };
            form.push(("client_id", &self.client_id));
            form.extend(
                self.client_secret.as_ref().map(|secret| ("client_secret", secret.as_str())),
            );
            form.extend(
                Some(("scope", self.scope.as_str())).filter(|(_, scope)| !scope.is_empty()),
            );
            self.http.post(&self.url, &form).await.map_err(|error| about(&error.to_string()))?
        };
        let given = given(&answer).map_err(|words| about(&words))?;
        match given.refresh_token {
            Some(new) if is_token(&new) => self.keep(state, Secret::new(new)),
            Some(_) => {
                let service = self.url.host_str().unwrap_or_default();
                tracing::warn!(
                    service,
                    "what came as a new refresh token is none, the old one stays"
                );
            }
            None => {}
        }
        let life = given.expires_in.and_then(|seconds| seconds.life()).unwrap_or(LIFE_UNKNOWN);
        Ok((Secret::new(given.access_token), life))
    }

    /// Keeps a new refresh token; the old one may be worth nothing from now on.
    fn keep(&self, state: &mut State, new: Secret) {
        let is_same =
            state.refresh_token.as_ref().is_some_and(|old| old.as_bytes() == new.as_bytes());
        if let (Some(file), false) = (&self.refresh_token_file, is_same) {
            if let Err(error) = replace(file, &new) {
                tracing::warn!(
                    file = %file.display(), %error,
                    "a new refresh token cannot be written; it is used until the relay stops"
                );
            }
            state.refresh_token = Some(new);
        }
    }
}

fn given(answer: &Answer) -> Result<Given, String> {
    if !answer.is_success() {
        let denied = serde_json::from_slice::<Denied>(&answer.content).ok();
        let words =
            denied.map(|it| format!(" ({}: {})", shown(&it.error), shown(&it.error_description)));
        return Err(format!(
            "the service refused with HTTP {}{}",
            answer.code,
            words.unwrap_or_default()
        ));
    }
    let no_token = || "the service answered without a token".to_owned();
    let given: Given = serde_json::from_slice(&answer.content).map_err(|_| no_token())?;
    if is_token(&given.access_token) { Ok(given) } else { Err(no_token()) }
}

/// Whether a text can be a token, in a file and on the wire.
fn is_token(text: &str) -> bool {
    let octets = u64::try_from(text.len()).unwrap_or(u64::MAX);
    (1..=TOKEN_OCTETS_MAX).contains(&octets) && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// Puts a line into a file so that it holds the old or the new one, whatever happens.
fn replace(file: &Path, line: &Secret) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.sync_all()?;
    std::fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use units::Span;

    use super::*;
    use crate::http::tests::Server;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    fn service(server: &Server, refresh: Option<&Path>, clock: &Clock) -> TokenSource {
        let secret = file("s3cret");
        let config = config::Token {
            url: Some(server.url.clone()),
            client_id: "relay".to_owned(),
            client_secret_file: Some(secret.path().to_owned()),
            refresh_token_file: refresh.map(Path::to_owned),
            scope: "smtp send".to_owned(),
            early: Span::minutes(2),
            wait_max: Span::minutes(5),
            ..config::Token::default()
        };
        TokenSource::open(&config, clock.clone()).unwrap()
    }

    async fn got(source: &TokenSource) -> String {
        source.token().await.unwrap().as_str().to_owned()
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_has_changed() {
        let file = file("one\n");
        let config =
            config::Token { file: Some(file.path().to_owned()), ..config::Token::default() };
        let source = TokenSource::open(&config, Clock::manual(0)).unwrap();
        assert_eq!(got(&source).await, "one");
        std::fs::write(file.path(), "three\n").unwrap();
        assert_eq!(got(&source).await, "three");
        std::fs::write(file.path(), "").unwrap();
        assert!(source.token().await.unwrap_err().to_string().ends_with("is empty"));
    }

    #[tokio::test]
    async fn a_token_is_used_until_shortly_before_its_end() {
        let (server, clock) = (Server::start().await, Clock::manual(0));
        let source = service(&server, None, &clock);
        server.answers(200, r#"{"access_token":"one","expires_in":3600,"token_type":"Bearer"}"#);
        assert_eq!((got(&source).await, got(&source).await), ("one".to_owned(), "one".to_owned()));
        assert_eq!(server.asked().len(), 1);
        let request = server.asked().remove(0);
        let body =
            "grant_type=client_credentials&client_id=relay&client_secret=s3cret&scope=smtp+send";
        assert!(request.starts_with("POST /it ") && request.ends_with(body), "{request}");
        server.answers(200, r#"{"access_token":"two"}"#);
        clock.advance(Duration::from_secs(3600 - 120 - 1));
        assert_eq!(got(&source).await, "one");
        clock.advance(Duration::from_secs(1));
        assert_eq!(got(&source).await, "two");
        source.forget(&Secret::new("one"));
        assert_eq!(got(&source).await, "two", "another one was refused");
        source.forget(&Secret::new("two"));
        server.answers(200, r#"{"access_token":"three","expires_in":3600}"#);
        assert_eq!(got(&source).await, "three", "a refused token is not used again");
        source.forget(&Secret::new("three"));
        assert_eq!(got(&source).await, "three", "the service is not asked all the time");
        source.forget(&Secret::new("three"));
        server.answers(200, r#"{"access_token":"four","expires_in":3600}"#);
        clock.advance(REFUSED_REST);
        assert_eq!(got(&source).await, "four");
    }

    #[tokio::test]
    async fn one_asks_for_all() {
        let (server, clock) = (Server::start().await, Clock::manual(0));
        let source = std::sync::Arc::new(service(&server, None, &clock));
        server.answers(200, r#"{"access_token":"one","expires_in":3600}"#);
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let source = std::sync::Arc::clone(&source);
                tokio::spawn(async move { got(&source).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), "one");
        }
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_words_and_rests() {
        let (server, clock) = (Server::start().await, Clock::manual(0));
        let source = service(&server, None, &clock);
        server.answers(
            400,
            r#"{"error":"invalid_client","error_description":"no\u001b such client"}"#,
        );
        let want = "127.0.0.1: the service refused with HTTP 400 (invalid_client: no? such client)";
        assert_eq!(source.token().await.unwrap_err().to_string(), want);
        assert_eq!(source.token().await.unwrap_err().to_string(), want);
        assert_eq!(server.asked().len(), 1);
        for (code, body, want) in [
            (500, "<html>", "127.0.0.1: the service refused with HTTP 500"),
            (302, "", "127.0.0.1: the service refused with HTTP 302"),
            (200, "{}", "127.0.0.1: the service answered without a token"),
            (
                200,
                r#"{"access_token":"a\u0001b"}"#,
                "127.0.0.1: the service answered without a token",
            ),
            (200, r#"{"access_token":""}"#, "127.0.0.1: the service answered without a token"),
        ] {
            clock.advance(REFUSED_REST);
            server.answers(code, body);
            assert_eq!(source.token().await.unwrap_err().to_string(), want);
        }
    }

    #[tokio::test]
    async fn a_new_refresh_token_is_written_back() {
        let (server, clock) = (Server::start().await, Clock::manual(0));
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("refresh");
        replace(&kept, &Secret::new("r1")).unwrap();
        let source = service(&server, Some(&kept), &clock);
        server.answers(200, r#"{"access_token":"one","expires_in":0,"refresh_token":"r2"}"#);
        got(&source).await;
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "r2\n");
        got(&source).await;
        let asked = server.asked();
        assert!(
            asked[0].contains("grant_type=refresh_token&refresh_token=r1&client_id=relay"),
            "{}",
            asked[0]
        );
        assert!(asked[1].contains("refresh_token=r2"), "{}", asked[1]);
        drop(folder);
        server.answers(200, r#"{"access_token":"two","expires_in":0,"refresh_token":"r3"}"#);
        assert_eq!(got(&source).await, "two", "a file that cannot be written stops nothing");
    }

    /// What cannot be a token is neither used nor written over one that is.
    #[tokio::test]
    async fn what_is_no_token_is_not_kept() {
        let (server, clock) = (Server::start().await, Clock::manual(0));
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("refresh");
        replace(&kept, &Secret::new("r1")).unwrap();
        let source = service(&server, Some(&kept), &clock);
        let long = "x".repeat(usize::try_from(TOKEN_OCTETS_MAX).unwrap() + 1);
        for bad in ["", "a b", "a\\nb", &long] {
            server.answers(
                200,
                &format!(r#"{{"access_token":"one","expires_in":0,"refresh_token":"{bad}"}}"#),
            );
            assert_eq!(got(&source).await, "one");
            assert_eq!(std::fs::read_to_string(&kept).unwrap(), "r1\n");
        }
        server.answers(200, &format!(r#"{{"access_token":"{long}"}}"#));
        assert!(source.token().await.unwrap_err().to_string().ends_with("without a token"));
    }

    /// A service that fails in the time in which tokens are replaced early stops no mail.
    #[tokio::test]
    async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
        let (server, clock) = (Server::start().await, Clock::manual(0));
        let source = service(&server, None, &clock);
        server.answers(200, r#"{"access_token":"one","expires_in":"3600"}"#);
        assert_eq!(got(&source).await, "one");
        server.answers(500, "");
        clock.advance(Duration::from_mins(58));
        assert_eq!((got(&source).await, got(&source).await), ("one".to_owned(), "one".to_owned()));
        assert_eq!(server.asked().len(), 2, "the service is left alone for a while");
        clock.advance(REFUSED_REST);
        assert_eq!((got(&source).await, server.asked().len()), ("one".to_owned(), 3));
        source.forget(&Secret::new("one"));
        assert!(source.token().await.is_err(), "a refused token is not used again");
        clock.advance(Duration::from_mins(2));
        assert!(source.token().await.is_err());
        server.answers(200, r#"{"access_token":"two"}"#);
        clock.advance(REFUSED_REST);
        assert_eq!(got(&source).await, "two");
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let open = |config: config::Token| {
            TokenSource::open(&config, Clock::manual(0)).unwrap_err().to_string()
        };
        let base = || config::Token {
            url: Some("https://a.example/".to_owned()),
            client_id: "x".to_owned(),
            ..config::Token::default()
        };
        assert!(open(config::Token::default()).starts_with("token.file: either"));
        assert!(open(base()).starts_with("token.client_secret_file: is missing"));
        assert!(
            open(config::Token { client_id: String::new(), ..base() })
                .starts_with("token.client_id: is empty")
        );
        let clear = config::Token { url: Some("http://a.example/".to_owned()), ..base() };
        assert!(open(clear).starts_with("token.url: begins with neither"));
        let nowhere =
            config::Token { file: Some("/nowhere/token".into()), ..config::Token::default() };
        assert!(open(nowhere).starts_with("/nowhere/token cannot be read"));
    }
}
