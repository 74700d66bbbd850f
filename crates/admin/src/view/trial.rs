//! What the control API says of a connector that is tried.

use serde::{Deserialize, Serialize};

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Tried {
    /// The outbound connector.
    pub connector: String,
    /// `pass`; `warn` if mail goes, but something is not as it could be; `fail` if it does not go.
    pub verdict: String,
    /// How long it took.
    pub milliseconds: u64,
    /// Each step, in the order in which they were done.
    pub steps: Vec<TrialStep>,
}

impl Tried {
    /// Whether mail does not go.
    pub fn is_failed(&self) -> bool {
        self.verdict == "fail"
    }
}

/// One step of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TrialStep {
    /// `source`, `dns`, `tcp`, `greeting`, `tls`, `ehlo`, `auth`, `mail`, `rcpt`, `reset` or `probe`.
    pub step: String,
    /// `pass`, `warn`, `fail` or `skipped`.
    pub verdict: String,
    /// How long it took.
    pub milliseconds: u64,
    /// With which host.
    pub host: Option<String>,
    /// What was found, in the host's words where it said something.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
}
