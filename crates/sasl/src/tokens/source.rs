//! Where the identity provider's keys come from.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use reqwest::Url;

use crate::config;
use crate::http::{self, AddressError, Http, HttpError};
use crate::metrics::Metrics;
use crate::tokens::keys::Keys;

/// Tokens with unknown keys lead to no more than one fetch in this time.
pub(crate) const FETCH_REST: Duration = Duration::from_mins(1);
const FETCH_WAIT_MAX: Duration = Duration::from_secs(10);
const FILE_OCTETS_MAX: u64 = 256 << 10;

/// Why tokens cannot be checked; the operator mends the settings or the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The settings say nowhere, or a place that cannot be asked.
    #[error("tokens.keys_url {0}")]
    Address(String),
    /// The file cannot be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no keys.
    #[error("{} cannot be used: {reason}", file.display())]
    NoKeys {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// No request could be made, such as for want of trusted roots.
    #[error("{0}")]
    Http(String),
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Service(Http, Url),
}

/// The keys in use, and where new ones come from.
#[derive(Debug)]
pub(crate) struct Source {
    place: Place,
    current: ArcSwap<Keys>,
    /// When an unknown key was last looked for; held while it is.
    asked: tokio::sync::Mutex<Option<Instant>>,
    metrics: Metrics,
}

impl Source {
    pub(crate) fn open(config: &config::Tokens, metrics: Metrics) -> Result<Self, TokensError> {
        let nowhere = || TokensError::Address("is missing, and keys_file too".to_owned());
        let (place, keys) = match (&config.keys_file, &config.keys_url) {
            (Some(file), _) => (Place::File(file.clone()), read(file)?),
            (None, Some(url)) => {
                let wrong = |error: AddressError| TokensError::Address(error.to_string());
                let url = http::address(url).map_err(wrong)?;
                let http = |error: HttpError| TokensError::Http(error.to_string());
                (Place::Service(Http::new(FETCH_WAIT_MAX).map_err(http)?, url), Keys::default())
            }
            (None, None) => return Err(nowhere()),
        };
        let current = ArcSwap::from_pointee(keys);
        Ok(Self { place, current, asked: tokio::sync::Mutex::new(None), metrics })
    }

    pub(crate) fn current(&self) -> Guard<Arc<Keys>> {
        self.current.load()
    }

    /// Reads a file again. On an error the old keys stay.
    pub(crate) fn reload(&self) -> Result<(), TokensError> {
        if let Place::File(file) = &self.place {
            let keys = read(file);
            self.metrics.keys_fetched(&keys);
            self.current.store(Arc::new(keys?));
        }
        Ok(())
    }

    /// Fetches the keys. When that fails the old ones stay, and it is told.
    pub(crate) async fn refresh(&self) -> Result<(), ()> {
        let Place::Service(http, url) = &self.place else { return Ok(()) };
        let keys = match http.get(url).await {
            Ok(answer) if answer.is_success() => Keys::read(&answer.content).map_err(str::to_owned),
            Ok(answer) => Err(format!("the answer is HTTP {}", answer.code)),
            Err(error) => Err(error.to_string()),
        };
        self.metrics.keys_fetched(&keys);
        let told = |reason: String| {
            tracing::warn!(
                host = url.host_str().unwrap_or_default(),
                reason,
                "keys of the identity provider could not be fetched; the old ones stay in use"
            );
        };
        self.current.store(Arc::new(keys.map_err(told)?));
        Ok(())
    }

    /// Fetches the keys unless that was done a moment ago. Those who come meanwhile wait for it.
    pub(crate) async fn refresh_soon(&self, now: Instant) {
        let mut asked = self.asked.lock().await;
        let is_due = asked.is_none_or(|at| now.saturating_duration_since(at) >= FETCH_REST);
        if is_due {
            // What went wrong has been told.
            self.refresh().await.ok();
            *asked = Some(now);
        }
    }
}

fn read(file: &Path) -> Result<Keys, TokensError> {
    let unreadable = |source| TokensError::Unreadable { file: file.to_owned(), source };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let mut content = Vec::new();
    opened.take(FILE_OCTETS_MAX).read_to_end(&mut content).map_err(unreadable)?;
    Keys::read(&content).map_err(|reason| TokensError::NoKeys { file: file.to_owned(), reason })
}
