//! How the program says that something failed.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use admin::ClientError;
use settings::{EditError, LoadError};

/// Something failed: what, what to do about it, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What failed, with its causes.
    pub(crate) error: anyhow::Error,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// What the shell is told.
    pub(crate) code: Code,
}

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Anything else.
    Failed = 1,
    /// The arguments make no sense.
    Arguments = 2,
    /// No relay answers at the socket.
    NotRunning = 3,
    /// The settings are refused (`EX_CONFIG` of sysexits.h); starting again does not help.
    Settings = 78,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

impl Failure {
    /// Sets the exit code.
    #[must_use]
    pub(crate) fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// A file that is only read cannot be read: to make its folder would not help.
    pub(crate) fn unreadable(error: io::Error, what: &str, file: &Path) -> Self {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let words = format!("the {what} {} cannot be read", file.display());
        let failure = Self::from(anyhow::Error::new(error).context(words));
        let hint = is_missing.then(|| "it is not there: look at the path".to_owned());
        Self { hint: hint.or(failure.hint), ..failure }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let hint = hint(&error).map(str::to_owned);
        Self { error, hint, code: Code::Failed }
    }
}

/// What usually helps, by what the system said.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>())?;
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            Some("another program listens there: stop it, or choose another port")
        }
        io::ErrorKind::AddrNotAvailable => Some("this machine does not have that address"),
        io::ErrorKind::PermissionDenied => Some(
            "look at the owner and mode of what is named; a port under 1024 needs root or CAP_NET_BIND_SERVICE",
        ),
        io::ErrorKind::NotFound => Some("it is not there: look at the path, or make its folder"),
        _ => None,
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let hint = match &error {
            LoadError::Unreadable { .. } => {
                Some("name the settings file with --config FILE".to_owned())
            }
            _ => None,
        };
        Self { error: error.into(), hint, code: Code::Settings }
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        let hint = Some(error.hint().to_owned());
        let code = match &error {
            EditError::Load(_) => Code::Settings,
            _ => Code::Failed,
        };
        Self { error: error.into(), hint, code }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (hint, code) = match &error {
            ClientError::NotRunning(_) => (
                Some("start it with `chasqui serve`, or name its socket with --socket PATH or its settings with --config FILE".to_owned()),
                Code::NotRunning,
            ),
            ClientError::Denied(_) => {
                (Some("run as root or as the relay's user".to_owned()), Code::NotRunning)
            }
            ClientError::Refused { hint, .. } => (hint.clone(), Code::Failed),
            _ => (None, Code::Failed),
        };
        Self { error: error.into(), hint, code }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:#}", self.error);
        // Each line about a file stands as it is, so that editors find the place.
        if text.contains('\n') {
            write!(out, "{text}")?;
        } else {
            write!(out, "chasqui: {text}")?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(out, "\n  {hint}"))
    }
}

/// Shorter for the many.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_needs_a_folder() {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let read = Failure::unreadable(missing(), "message", Path::new("/gone")).to_string();
        assert_eq!(
            read,
            "chasqui: the message /gone cannot be read: entity not found\n  it is not there: look at the path"
        );
        let written = anyhow::Error::new(missing()).context("the log /gone cannot be written");
        assert!(Failure::from(written).to_string().ends_with("make its folder"));
    }
}
