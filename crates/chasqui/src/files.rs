//! What reads its files again at SIGHUP.

use std::error::Error;

use delivery::Handshakes;
use smtp_server::Certificates;

/// The certificates of both sides. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    listeners: Certificates,
    connectors: Handshakes,
}

/// Whose files could not be used, and why; what they held before stays in use.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) whose: String,
    pub(crate) error: Box<dyn Error + Send + Sync>,
}

impl Files {
    pub(crate) fn new(listeners: Certificates, connectors: &Handshakes) -> Self {
        Self { listeners, connectors: connectors.clone() }
    }

    /// Reads all of them again. Blocks on files.
    pub(crate) fn reload(&self) -> Vec<Failed> {
        let mut failed = Vec::new();
        for (listener, error) in self.listeners.reload().err().unwrap_or_default() {
            failed.push(Failed { whose: format!("listener {listener}"), error: error.into() });
        }
        if let Err(error) = self.connectors.reload() {
            failed.push(Failed { whose: "outbound connectors".to_owned(), error: error.into() });
        }
        failed
    }
}
