//! The secrets behind return paths of ours: read at the start and at reload, and looked at before.

use auth::{ReturnPaths, ReturnPathsError, Wanted};
use settings::{Finding, Settings};
use telemetry::Causes;

/// Reads them; without a file there are no return paths of ours. Blocks.
pub(crate) fn open(settings: &Settings) -> Result<ReturnPaths, ReturnPathsError> {
    let rewrite = &settings.rewrite;
    let Some(file) = &rewrite.secrets_file else { return Ok(ReturnPaths::default()) };
    let applications = settings.outbound.iter().filter_map(|outbound| {
        // What is wrong with an address was said when the settings were read.
        let address = outbound.application.as_ref()?.parsed().ok()?;
        Some((outbound.name.as_str().into(), address))
    });
    let wanted = Wanted {
        domain: rewrite.alias_domain.as_deref(),
        age_max: rewrite.return_path_age_max.as_duration(),
        applications: applications.collect(),
    };
    ReturnPaths::open(&wanted, file)
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
