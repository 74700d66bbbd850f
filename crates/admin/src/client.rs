//! The client of the control API.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::view::{
    Bans, Changed, Changes, Connectors, Edit, ErrorBody, ExportFormat, Filter, Lifted, Message,
    QueueList, Reloaded, Run, Selection, Status, Trial, Tried, Unban,
};

/// A list of a long queue takes its time.
const ANSWER_WAIT_MAX: Duration = Duration::from_mins(1);
/// The host is the other end of the socket, whatever it is called.
const BASE: &str = "http://relay";

/// Why the relay did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers at the socket: the relay does not run, or has another socket.
    #[error("no relay answers at {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket may not be opened: run as root or as the relay's user.
    #[error("the admin socket {} may not be opened by this user", .0.display())]
    Denied(PathBuf),
    /// The relay answered that it will not or cannot.
    #[error("{error}")]
    Refused {
        /// Why.
        error: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The conversation broke.
    #[error("the relay did not answer as expected")]
    Broken(#[from] reqwest::Error),
}

/// Talks to a running relay over its Unix socket.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

impl Client {
    /// A client of the relay at `socket`; nothing is opened yet.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .no_proxy()
            .timeout(ANSWER_WAIT_MAX)
            .build()?;
        Ok(Self { http, socket: socket.to_owned() })
    }

    /// How the relay is.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.answer(self.http.get(format!("{BASE}/v1/status"))).await
    }

    /// Queued messages, oldest first.
    pub async fn list(&self, filter: &Filter) -> Result<QueueList, ClientError> {
        self.answer(self.http.get(format!("{BASE}/v1/queue")).query(filter)).await
    }

    /// One message in full.
    pub async fn show(&self, id: &str) -> Result<Message, ClientError> {
        // Whatever is no id must not become another path.
        let id: String =
            id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        self.answer(self.http.get(format!("{BASE}/v1/messages/{id}"))).await
    }

    /// Tries messages now.
    pub async fn retry(&self, selection: &Selection) -> Result<Changed, ClientError> {
        self.answer(self.http.post(format!("{BASE}/v1/queue/retry")).json(selection)).await
    }

    /// Takes messages out of the queue for good.
    pub async fn cancel(&self, selection: &Selection) -> Result<Changed, ClientError> {
        self.answer(self.http.post(format!("{BASE}/v1/queue/cancel")).json(selection)).await
    }

    /// The bans that hold after failed logins.
    pub async fn bans(&self) -> Result<Bans, ClientError> {
        self.answer(self.http.get(format!("{BASE}/v1/logins/bans"))).await
    }

    /// Lifts bans.
    pub async fn unban(&self, unban: &Unban) -> Result<Lifted, ClientError> {
        self.answer(self.http.post(format!("{BASE}/v1/logins/unban")).json(unban)).await
    }

    /// All connectors.
    pub async fn connectors(&self) -> Result<Connectors, ClientError> {
        self.answer(self.http.get(format!("{BASE}/v1/connectors"))).await
    }

    /// Changes connectors, all edits or none; only says what would change if it is a dry run.
    pub async fn edit(&self, edits: &[Edit], run: Run) -> Result<Changes, ClientError> {
        let request = self.http.post(format!("{BASE}/v1/connectors"));
        self.answer(request.query(&[("dry_run", run == Run::Dry)]).json(edits)).await
    }

    /// Tries an outbound connector as mail would use it.
    pub async fn test(&self, name: &str, trial: &Trial) -> Result<Tried, ClientError> {
        // Whatever is no name must not become another path.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let request = self.http.post(format!("{BASE}/v1/connectors/outbound/{name}/test"));
        self.answer(request.json(trial)).await
    }

    /// The connectors in the words of another program.
    pub async fn export(&self, format: ExportFormat) -> Result<String, ClientError> {
        let request = self.http.get(format!("{BASE}/v1/connectors/export"));
        let request = request.query(&[("format", format)]);
        let response = request.send().await.map_err(|error| self.explained(error))?;
        if response.status().is_success() {
            return Ok(response.text().await?);
        }
        Err(refused(response).await)
    }

    /// Takes connectors over from another program's words.
    pub async fn import(&self, text: &str, run: Run) -> Result<Changes, ClientError> {
        let request = self.http.post(format!("{BASE}/v1/connectors/import"));
        self.answer(request.query(&[("dry_run", run == Run::Dry)]).body(text.to_owned())).await
    }

    /// Reads the settings, certificates and accounts again.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.answer(self.http.post(format!("{BASE}/v1/reload"))).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = request.send().await.map_err(|error| self.explained(error))?;
        if response.status().is_success() {
            return Ok(response.json().await?);
        }
        Err(refused(response).await)
    }

    fn explained(&self, error: reqwest::Error) -> ClientError {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        let mut kind = None;
        while let Some(this) = cause {
            kind = this.downcast_ref::<io::Error>().map(io::Error::kind).or(kind);
            cause = this.source();
        }
        match kind {
            Some(io::ErrorKind::PermissionDenied) => ClientError::Denied(self.socket.clone()),
            Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                ClientError::NotRunning(self.socket.clone())
            }
            _ => ClientError::Broken(error),
        }
    }
}

async fn refused(response: Response) -> ClientError {
    let code = response.status();
    match response.json::<ErrorBody>().await {
        Ok(body) => ClientError::Refused { error: body.error, hint: body.hint },
        Err(_) => ClientError::Refused { error: format!("the relay answered {code}"), hint: None },
    }
}
