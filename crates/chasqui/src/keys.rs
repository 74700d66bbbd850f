//! The keys that mail is signed with: looked at before anything else begins, and written when they are made.

use auth::{KeyError, SigningKey};
use settings::{Finding, Settings};
use telemetry::Causes;

/// Tries every key file of `[[dkim]]`.
pub(crate) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, key) in settings.dkim.iter().enumerate() {
        if let Err(error) = SigningKey::read(key) {
            let words = Causes(&error).to_string();
            let finding = Finding::in_item("dkim", number, "key_file", words);
            findings.push(match hint(&error) {
                Some(hint) => finding.hint(hint),
                None => finding,
            });
        }
    }
    findings
}

/// What to do where the error does not say it.
const fn hint(error: &KeyError) -> Option<&'static str> {
    match error {
        KeyError::Unreadable { .. } => Some(
            "look at the path, and let the relay's user read it, or make a key with `chasqui dkim add`",
        ),
        _ => None,
    }
}
