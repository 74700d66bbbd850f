//! Secrets from files that not everybody may read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::SecretError;

/// What everybody but owner and group may do to a file: read and write.
const BY_EVERYBODY: u32 = 0o006;
const OCTETS_MAX: u64 = 4096;

/// A line that `Debug` does not show; printable ASCII.
#[derive(Clone)]
pub(crate) struct Secret(Box<str>);

impl Secret {
    /// Reads the one line of a file. Blocks.
    pub(crate) fn read(file: &Path) -> Result<Self, SecretError> {
        let unreadable = |error| SecretError::Unreadable { file: file.to_owned(), error };
        let no_secret = || SecretError::NoSecret { file: file.to_owned() };
        // Opening a pipe would wait for whoever writes into it.
        let facts = std::fs::metadata(file).map_err(unreadable)?;
        if !facts.is_file() {
            return Err(no_secret());
        }
        let mode = facts.permissions().mode() & 0o777;
        if mode & BY_EVERYBODY != 0 {
            return Err(SecretError::Open { file: file.to_owned(), mode });
        }
        let mut octets = Vec::new();
        let opened = File::open(file).map_err(unreadable)?;
        opened.take(OCTETS_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
        let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_line = line.iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic());
        if line.is_empty() || !is_line || octets.len() as u64 > OCTETS_MAX {
            return Err(no_secret());
        }
        Ok(Self(String::from_utf8_lossy(line).into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn read(content: &[u8], mode: u32) -> Result<Secret, SecretError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        Secret::read(file.path())
    }

    #[test]
    fn one_line_is_a_secret() {
        let secret = read(b"open sesame\r\n", 0o640).unwrap();
        assert_eq!(
            (secret.as_str(), format!("{secret:?}")),
            ("open sesame", "(secret)".to_owned())
        );
        for bad in [&b""[..], b"\n", b"a\nb\n", b"a\0", b"\xff", &[b'x'; 4097]] {
            assert!(matches!(read(bad, 0o600), Err(SecretError::NoSecret { .. })), "{bad:?}");
        }
        assert!(matches!(read(b"x", 0o644), Err(SecretError::Open { mode: 0o644, .. })));
        assert!(matches!(Secret::read(Path::new("/nowhere")), Err(SecretError::Unreadable { .. })));
    }
}
