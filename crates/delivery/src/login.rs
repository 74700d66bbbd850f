//! What logs in to smart hosts: read once at the start, shown to nobody.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mail::Reply;
use mail_send::Credentials;
use policy::config::OutboundConnector;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN};

/// A longer file holds no password.
const PASSWORD_OCTETS_MAX: u64 = 1024;
/// What everybody but owner and group may do to a file: read and write.
const BY_EVERYBODY: u32 = 0o006;
/// So many letters of an encoded login in a reply are no accident.
const ECHO_OCTETS: usize = 8;
/// `Password:` as a server asks for it in the mechanism LOGIN.
const PASSWORD_CHALLENGE: &str = "UGFzc3dvcmQ6";

/// The logins of the outbound connectors. Its `Debug` names the connectors only.
#[derive(Clone, Default)]
pub struct Logins(HashMap<Box<str>, Login>);

/// Why a password could not be read; the operator mends the file or the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The file cannot be read.
    #[error("password file {} of outbound connector `{connector}` cannot be read", file.display())]
    Unreadable {
        /// Whose.
        connector: String,
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Everybody may read or write the file.
    #[error(
        "password file {} of outbound connector `{connector}` is open to everybody (mode {mode:03o})",
        file.display()
    )]
    Open {
        /// Whose.
        connector: String,
        /// Which.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What the file holds is no password.
    #[error("password file {} of outbound connector `{connector}` {reason}", file.display())]
    NoPassword {
        /// Whose.
        connector: String,
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl LoginError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "let it be there, readable by the relay's user",
            Self::Open { .. } => {
                "give it the group of the relay's user and mode 640, and change the password"
            }
            Self::NoPassword { .. } => "write the password into it, in one line and nothing else",
        }
    }
}

impl Logins {
    /// Reads the passwords of all enabled connectors that log in.
    ///
    /// # Errors
    /// At the first file that holds no password or that everybody may read.
    pub fn read(connectors: &[OutboundConnector]) -> Result<Self, LoginError> {
        let mut logins = HashMap::new();
        for connector in connectors.iter().filter(|connector| connector.enabled) {
            if let Some(login) = &connector.login {
                let password = password(&connector.name, &login.password_file)?;
                let login = Login::new(login.user.clone(), password);
                logins.insert(connector.name.as_str().into(), login);
            }
        }
        Ok(Self(logins))
    }

    /// The login of the connector called `name`.
    pub(crate) fn of(&self, name: &str) -> Option<&Login> {
        self.0.get(name)
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// A user and a password. Has no `Debug`, so that nothing shows it by accident.
#[derive(Clone)]
pub(crate) struct Login {
    credentials: Credentials<String>,
    password: String,
    /// The forms in which it goes over the wire.
    encoded: Vec<String>,
}

impl Login {
    fn new(user: String, password: String) -> Self {
        let credentials = Credentials::new(user, password.clone());
        let plain = credentials.encode(AUTH_PLAIN, "");
        let login = credentials.encode(AUTH_LOGIN, PASSWORD_CHALLENGE);
        Self { credentials, password, encoded: [plain, login].into_iter().flatten().collect() }
    }

    pub(crate) const fn credentials(&self) -> &Credentials<String> {
        &self.credentials
    }

    /// The reply; without its words if they repeat what was sent, as some servers do with a line that they do not
    /// understand.
    pub(crate) fn without_secrets(&self, reply: Reply) -> Reply {
        let text = reply.text().as_bytes();
        let holds = |part: &[u8]| text.windows(part.len()).any(|piece| piece == part);
        let is_echoed =
            |form: &String| form.as_bytes().windows(ECHO_OCTETS.min(form.len())).any(holds);
        if holds(self.password.as_bytes()) || self.encoded.iter().any(is_echoed) {
            return Reply::new(reply.code(), reply.status(), "(words that repeat the login)");
        }
        reply
    }
}

fn password(connector: &str, file: &Path) -> Result<String, LoginError> {
    let names = || (connector.to_owned(), file.to_owned());
    let unreadable = |source| {
        let (connector, file) = names();
        LoginError::Unreadable { connector, file, source }
    };
    let no_password = |reason| {
        let (connector, file) = names();
        LoginError::NoPassword { connector, file, reason }
    };
    // Opening a pipe would wait for whoever writes into it.
    let facts = std::fs::metadata(file).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(no_password("is not a file"));
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & BY_EVERYBODY != 0 {
        let (connector, file) = names();
        return Err(LoginError::Open { connector, file, mode });
    }
    let mut octets = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(PASSWORD_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > PASSWORD_OCTETS_MAX {
        return Err(no_password("is longer than 1024 octets"));
    }
    let text = String::from_utf8(octets).map_err(|_| no_password("is not UTF-8"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(no_password("is empty"));
    }
    if password.chars().any(char::is_control) {
        return Err(no_password("holds more than one line, or a control character"));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    const SECRET: &str = "open sesame";

    fn connector(file: &Path) -> OutboundConnector {
        OutboundConnector {
            name: "partner".to_owned(),
            login: Some(policy::config::Login {
                user: "relay".to_owned(),
                password_file: file.to_owned(),
                login_without_tls: false,
            }),
            ..OutboundConnector::default()
        }
    }

    fn read(content: &[u8], mode: u32) -> Result<Logins, LoginError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        Logins::read(&[connector(file.path())])
    }

    #[test]
    fn a_password_is_read_without_its_line_end() {
        for content in ["open sesame", "open sesame\n", "open sesame\r\n"] {
            let logins = read(content.as_bytes(), 0o640).unwrap();
            assert_eq!(logins.of("partner").unwrap().password, SECRET);
            assert!(logins.of("other").is_none());
            assert_eq!(format!("{logins:?}"), "{\"partner\"}");
        }
    }

    #[test]
    fn what_is_no_password_is_refused_without_showing_it() {
        for (content, mode, want) in [
            (&b"open sesame"[..], 0o644, "is open to everybody (mode 644)"),
            (b"open sesame", 0o602, "is open to everybody (mode 602)"),
            (b"\n", 0o600, "is empty"),
            (b"open sesame\n\n", 0o600, "more than one line"),
            (b"open\0sesame", 0o600, "control character"),
            (b"open sesame \xff", 0o600, "is not UTF-8"),
            (&[b'x'; 1025], 0o600, "longer than 1024"),
        ] {
            let error = read(content, mode).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
            assert!(!format!("{error:?} {error}").contains("sesame"), "{error:?}");
        }
        let error = Logins::read(&[connector(Path::new("/nowhere/password"))]).unwrap_err();
        assert!(matches!(error, LoginError::Unreadable { .. }), "{error}");
        let error = Logins::read(&[connector(Path::new("/"))]).unwrap_err();
        assert!(error.to_string().contains("is not a file"), "{error}");
    }

    #[test]
    fn the_file_of_a_disabled_connector_is_left_alone() {
        let connector =
            OutboundConnector { enabled: false, ..connector(Path::new("/nowhere/password")) };
        assert!(Logins::read(&[connector]).is_ok());
    }

    #[test]
    fn a_reply_that_repeats_the_login_loses_its_words() {
        let login = Login::new("relay".to_owned(), SECRET.to_owned());
        let said = |text: &str| login.without_secrets(Reply::new(500, None, text)).to_string();
        for text in [
            "what is AUTH PLAIN AHJlbGF5AG9wZW4gc2VzYW1l",
            "what is AUTH PLAIN AHJlbGF5AG9wZW4g...",
            "unknown command b3BlbiBzZXNhbWU=",
            "wrong password: open sesame",
        ] {
            assert_eq!(said(text), "500 (words that repeat the login)", "{text}");
        }
        assert_eq!(said("no such user: relay"), "500 no such user: relay");
    }
}
