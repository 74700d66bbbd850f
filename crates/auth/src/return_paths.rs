//! Addresses of ours that mail comes back to: return paths, whose bounces go to senders, and those that people reply to
//! in threads of applications.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mail::{Address, MessageId, ThreadName, Timestamp};

use crate::dns::a_labels;
use crate::secret_file::{self, Unusable};
use crate::srs::{ReverseError, RewriteError, Srs};
use crate::threads::{ForgedThread, Thread, Threads};
use crate::token::{SecretError, Secrets};
use crate::verp::{About, Verp};

const DAY: Duration = Duration::from_hours(24);

/// Makes such addresses and reads them. Cheap to clone; all clones see a change at once. Without secrets it makes none.
#[derive(Clone, Debug, Default)]
pub struct ReturnPaths(Arc<ArcSwapOption<Ready>>);

/// What is to be made.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The domain of return paths; without one there are none.
    pub domain: Option<&'a str>,
    /// How long bounces come back.
    pub age_max: Duration,
    /// The addresses of applications, by their names.
    pub applications: Vec<(Box<str>, Address)>,
}

#[derive(Debug)]
struct Ready {
    paths: Option<Paths>,
    threads: Threads,
}

#[derive(Debug)]
struct Paths {
    domain: String,
    srs: Srs,
    verp: Verp,
}

/// Who hears of a bounce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The sender of what came back.
    pub sender: Address,
    /// What came back, if the return path says it.
    pub about: Option<About>,
}

/// Why no return paths can be made; the operator mends the file or the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnPathsError {
    /// The domain is none.
    #[error("`{0}` is no domain for return paths")]
    Domain(String),
    /// The file cannot be read.
    #[error("the secrets {} cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than owner and group may use the file.
    #[error("the secrets {} are open to everybody (mode {mode:03o}); give the file mode 640 and put a new secret first", file.display())]
    Open {
        /// Which.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is none.
    #[error("the secrets {} cannot be used: {reason}", file.display())]
    Bad {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What the file holds is no secret.
    #[error("{}", file.display())]
    Secret {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        source: SecretError,
    },
}

impl ReturnPaths {
    /// Reads the secrets, one a line: the first one signs, all of them verify. Blocks on the file.
    ///
    /// # Errors
    /// What is wrong with the domain or the file.
    pub fn open(wanted: &Wanted<'_>, file: &Path) -> Result<Self, ReturnPathsError> {
        let known = |domain: &str| {
            let labels = a_labels(domain).filter(|it| it.contains('.'));
            labels.ok_or_else(|| ReturnPathsError::Domain(domain.to_owned()))
        };
        let domain = wanted.domain.map(known).transpose()?;
        let octets = secret_file::read(file).map_err(|unusable| unusable_file(file, unusable))?;
        let lines = octets.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        let secrets = Secrets::new(&lines)
            .map_err(|source| ReturnPathsError::Secret { file: file.to_owned(), source })?;
        let days = wanted.age_max.as_secs().div_ceil(DAY.as_secs());
        let days = u16::try_from(days).unwrap_or(u16::MAX);
        let paths = domain.map(|domain| Paths {
            srs: Srs::new(secrets.clone(), &domain, days),
            verp: Verp::new(secrets.clone(), &domain, wanted.age_max),
            domain,
        });
        let threads = Threads::new(secrets, &wanted.applications);
        Ok(Self(Arc::new(ArcSwapOption::from_pointee(Ready { paths, threads }))))
    }

    /// Uses what `other` was opened with from now on, as do all clones.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// The return path by which bounces find `sender` (SRS).
    ///
    /// # Errors
    /// When there can be none; the mail goes with the return path that it has.
    pub fn srs(&self, sender: &Address, now: Timestamp) -> Result<Address, RewriteError> {
        let ready = self.0.load();
        let paths = ready.as_ref().and_then(|ready| ready.paths.as_ref());
        address(&paths.ok_or(RewriteError::NoSecret)?.srs.forward(sender.as_str(), now)?)
    }

    /// The return path by which bounces find `sender` and say what they are about (VERP); where that is too long,
    /// one by which they find the sender.
    ///
    /// # Errors
    /// When there can be none; the mail goes with the return path that it has.
    pub fn verp(
        &self,
        sender: &Address,
        about: (MessageId, u32),
        now: Timestamp,
    ) -> Result<Address, RewriteError> {
        let ready = self.0.load();
        let paths = ready.as_ref().and_then(|ready| ready.paths.as_ref());
        let paths = paths.ok_or(RewriteError::NoSecret)?;
        match paths.verp.forward(sender.as_str(), about) {
            Err(RewriteError::TooLong) => address(&paths.srs.forward(sender.as_str(), now)?),
            rewritten => address(&rewritten?),
        }
    }

    /// Who hears of what comes to `recipient`; none if that is no return path of ours.
    ///
    /// # Errors
    /// When it looks like one and leads to nobody: [`ReverseError::Forged`] and [`ReverseError::Expired`].
    pub fn origin(
        &self,
        recipient: &Address,
        now: Timestamp,
    ) -> Result<Option<Origin>, ReverseError> {
        let ready = self.0.load();
        let paths = ready.as_ref().and_then(|ready| ready.paths.as_ref());
        let Some(paths) = paths else { return Ok(None) };
        let domain = recipient.as_str().rsplit_once('@').map_or("", |(_, domain)| domain);
        let is_ours = domain.eq_ignore_ascii_case(&paths.domain)
            || (!domain.is_ascii() && a_labels(domain).as_deref() == Some(&paths.domain));
        if !is_ours {
            return Ok(None);
        }
        let local = recipient.local_part();
        let read = match paths.verp.reverse(local, now) {
            Err(ReverseError::NotOurs) => paths.srs.reverse(local, now).map(|text| (text, None)),
            read => read.map(|(text, about)| (text, Some(about))),
        };
        match read {
            Err(ReverseError::NotOurs) => Ok(None),
            Err(error) => Err(error),
            // Nobody but us made it; that it is no address would be strange.
            Ok((text, about)) => {
                let sender = Address::parse(&text).map_err(|_| ReverseError::Forged)?;
                Ok(Some(Origin { sender, about }))
            }
        }
    }

    /// The address by which replies find a thread of `application`; none if nobody knows the application.
    pub fn thread_address(&self, application: &str, thread: &ThreadName) -> Option<Address> {
        self.0.load().as_ref()?.threads.address(application, thread)
    }

    /// The thread, or the application, that an address stands for, if it does.
    ///
    /// # Errors
    /// When it looks like one and is none.
    pub fn thread(&self, recipient: &Address) -> Result<Option<Thread>, ForgedThread> {
        self.0.load().as_ref().map_or(Ok(None), |ready| ready.threads.read(recipient))
    }
}

fn address(text: &str) -> Result<Address, RewriteError> {
    Address::parse(text).map_err(|_| RewriteError::Domain)
}

fn unusable_file(file: &Path, unusable: Unusable) -> ReturnPathsError {
    let file = file.to_owned();
    match unusable {
        Unusable::Unreadable(source) => ReturnPathsError::Unreadable { file, source },
        Unusable::Open(mode) => ReturnPathsError::Open { file, mode },
        Unusable::Bad(reason) => ReturnPathsError::Bad { file, reason },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secrets(folder: &Path, text: &str, mode: u32) -> PathBuf {
        let file = folder.join("secrets");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn bounces_find_their_sender() {
        let folder = tempfile::tempdir().unwrap();
        let open = |text: &str| {
            let file = secrets(folder.path(), text, 0o640);
            let age_max = 21 * DAY;
            let wanted = Wanted { domain: Some("Alias.example"), age_max, ..Wanted::default() };
            ReturnPaths::open(&wanted, &file).unwrap()
        };
        let (old, new) = ("the first secret of all", "the second secret of all");
        let first = open(&format!("{old}\n"));
        let now = Timestamp::from_millis(1_800_000_000_000);
        let sender = Address::parse("ana@sender.example").unwrap();
        let id = MessageId::new(now.as_millis(), 7);
        let paths = [first.srs(&sender, now).unwrap(), first.verp(&sender, (id, 3), now).unwrap()];
        // A secret is replaced by one before it.
        first.replace(&open(&format!("\n{new}\n{old}\n")));
        for (path, recipient) in paths.iter().zip([None, Some(3)]) {
            let origin = first.origin(path, now).unwrap().unwrap();
            assert_eq!(origin.sender, sender);
            assert_eq!(origin.about.map(|about| about.recipient), recipient);
        }
        first.replace(&open(new));
        assert_eq!(first.origin(&paths[0], now), Err(ReverseError::Forged));
        assert_eq!(first.origin(&paths[1], now), Err(ReverseError::Forged));
        for other in ["postmaster", "ana@alias.example", "SRS0=a=b=c=d@other.example"] {
            let other = Address::parse(other).unwrap();
            assert_eq!(first.origin(&other, now), Ok(None), "{other}");
        }
        // What is too long for one form goes by the other.
        let long = Address::parse(&format!("{}@sender.example", "a".repeat(28))).unwrap();
        let path = first.verp(&long, (id, 3), now).unwrap();
        assert!(path.as_str().starts_with("SRS0="), "{path}");
        assert_eq!(first.origin(&path, now).unwrap().unwrap().sender, long);
        let none = ReturnPaths::default();
        assert_eq!(none.srs(&sender, now), Err(RewriteError::NoSecret));
        assert_eq!(none.origin(&path, now), Ok(None));
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let open = |domain: &str, text: &str, mode: u32| {
            let file = secrets(folder.path(), text, mode);
            let wanted = Wanted { domain: Some(domain), age_max: DAY, ..Wanted::default() };
            telemetry::Causes(&ReturnPaths::open(&wanted, &file).unwrap_err()).to_string()
        };
        for (domain, text, mode, words) in [
            ("a b", "sixteen octets are enough", 0o600, "`a b` is no domain for return paths"),
            ("alias.example", "too short", 0o600, "shorter than 16 octets"),
            ("alias.example", "\n", 0o600, "is missing"),
            ("alias.example", "sixteen octets are enough", 0o644, "open to everybody (mode 644)"),
        ] {
            let said = open(domain, text, mode);
            assert!(said.contains(words) && !said.contains("enough"), "{said}");
        }
        let missing = ReturnPaths::open(&Wanted::default(), &folder.path().join("none"));
        assert!(missing.unwrap_err().to_string().ends_with("none cannot be read"));
    }
}
