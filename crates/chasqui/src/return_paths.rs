//! The secrets behind return paths of ours: read at the start and at reload, and looked at before.

use auth::{ReturnPaths, ReturnPathsError};
use settings::{Finding, Settings};
use telemetry::Causes;

/// Reads them; without a file there are no return paths of ours. Blocks.
pub(crate) fn open(settings: &Settings) -> Result<ReturnPaths, ReturnPathsError> {
    let rewrite = &settings.rewrite;
    match (&rewrite.alias_domain, &rewrite.secrets_file) {
        (Some(domain), Some(file)) => {
            ReturnPaths::open(domain, file, rewrite.return_path_age_max.as_duration())
        }
        _ => Ok(ReturnPaths::default()),
    }
}

/// What is wrong with them.
pub(crate) fn finding(settings: &Settings) -> Option<Finding> {
    let error = open(settings).err()?;
    let key = match error {
        ReturnPathsError::Domain(_) => "alias_domain",
        _ => "secrets_file",
    };
    let finding = Finding::in_section("rewrite", key, Causes(&error).to_string());
    Some(match error {
        ReturnPathsError::Unreadable { .. } => {
            finding.hint("look at the path, and let the relay's user read it")
        }
        _ => finding,
    })
}
