//! What those who change or read settings are told when that cannot be.

use admin::Failure;
use settings::{EditError, LoadError};
use telemetry::Causes;

/// Does `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::Broken(format!("the work on the settings broke: {error}")))
}

/// Settings that cannot be read.
pub(crate) fn not_loaded(error: &LoadError) -> Failure {
    Failure::wrong(Causes(error).to_string(), "correct the settings; nothing has changed")
}

/// Edits that make no sense.
pub(crate) fn not_edited(error: &EditError) -> Failure {
    let words = Causes(error).to_string();
    match error {
        EditError::Missing { .. } => Failure::missing(words, error.hint()),
        _ => Failure::wrong(words, error.hint()),
    }
}

/// What they name cannot be used.
pub(crate) fn unusable(error: &anyhow::Error) -> Failure {
    Failure::wrong(format!("{error:#}"), "correct what is named; nothing has changed")
}
