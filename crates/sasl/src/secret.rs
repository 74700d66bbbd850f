//! Secrets: nothing shows them, and they come from files that not everybody may read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// What everybody but owner and group may do to a file: read and write.
const BY_EVERYBODY: u32 = 0o006;

/// Octets that `Debug` does not show and that are wiped when they are dropped.
#[derive(Clone, Default)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(octets.into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text; empty if it is not UTF-8.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// Why a file of secrets cannot be used; the operator mends the file or the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Everybody may read or write the file.
    #[error("{} is open to everybody (mode {mode:03o}); give it mode 640 and change what it holds", file.display())]
    Open {
        /// Which.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What the file holds is not what it should.
    #[error("{} {reason}", file.display())]
    NoSecret {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl SecretFileError {
    /// Which file it is about.
    pub fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. }
            | Self::Open { file, .. }
            | Self::NoSecret { file, .. } => file,
        }
    }
}

/// Reads a file that only owner and group may read, at most `octets_max` long. Blocks.
pub(crate) fn read_file(file: &Path, octets_max: u64) -> Result<Secret, SecretFileError> {
    let unreadable = |source| SecretFileError::Unreadable { file: file.to_owned(), source };
    let no_secret = |reason| SecretFileError::NoSecret { file: file.to_owned(), reason };
    // Opening a pipe would wait for whoever writes into it.
    let facts = std::fs::metadata(file).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(no_secret("is not a file".to_owned()));
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & BY_EVERYBODY != 0 {
        return Err(SecretFileError::Open { file: file.to_owned(), mode });
    }
    let mut octets = Zeroizing::new(Vec::new());
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(octets_max + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > octets_max {
        return Err(no_secret(format!("is longer than {octets_max} octets")));
    }
    Ok(Secret(octets))
}

/// Reads the one line of a file, such as a password or a token, without its line end. Blocks.
pub(crate) fn read_line(file: &Path, octets_max: u64) -> Result<Secret, SecretFileError> {
    let no_secret = |reason: &str| SecretFileError::NoSecret {
        file: file.to_owned(),
        reason: reason.to_owned(),
    };
    let secret = read_file(file, octets_max)?;
    let text = std::str::from_utf8(secret.as_bytes()).map_err(|_| no_secret("is not UTF-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(no_secret("is empty"));
    }
    if line.chars().any(char::is_control) {
        return Err(no_secret("holds more than one line, or a control character"));
    }
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn line(content: &[u8], mode: u32) -> Result<Secret, SecretFileError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        read_line(file.path(), 20)
    }

    #[test]
    fn a_line_is_read_without_its_end() {
        for content in ["open sesame", "open sesame\n", "open sesame\r\n"] {
            let secret = line(content.as_bytes(), 0o640).unwrap();
            assert_eq!(secret.as_str(), "open sesame");
            assert_eq!(format!("{secret:?}"), "(secret)");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        for (content, mode, want) in [
            (&b"open sesame"[..], 0o644, "is open to everybody (mode 644)"),
            (b"open sesame", 0o602, "is open to everybody (mode 602)"),
            (b"\n", 0o600, "is empty"),
            (b"open sesame\n\n", 0o600, "more than one line"),
            (b"open\0sesame", 0o600, "control character"),
            (b"open sesame \xff", 0o600, "is not UTF-8"),
            (b"open sesame, open sesame", 0o600, "longer than 20"),
        ] {
            let error = line(content, mode).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
            assert!(!format!("{error:?} {error}").contains("sesame"), "{error:?}");
        }
        let error = read_line(Path::new("/nowhere/secret"), 20).unwrap_err();
        assert!(matches!(error, SecretFileError::Unreadable { .. }), "{error}");
        let error = read_line(Path::new("/"), 20).unwrap_err();
        assert!(error.to_string().contains("is not a file"), "{error}");
    }
}
