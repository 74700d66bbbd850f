//! The accounts, which can be read again while sessions go on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::book::Book;
use crate::file::{self, Problem};
use crate::secret::{SecretFileError, read_file};

/// Some hundred thousand accounts.
const FILE_OCTETS_MAX: u64 = 64 << 20;

/// The accounts in use.
#[derive(Debug)]
pub struct Accounts {
    file: Option<PathBuf>,
    current: ArcSwap<Book>,
}

/// Why accounts cannot be used; the operator mends the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountsError {
    /// The file cannot be read or may not be.
    #[error(transparent)]
    File(SecretFileError),
    /// The file says something that cannot be.
    #[error("{}", lines(file, problems))]
    Wrong {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, in the order of its accounts; never empty.
        problems: Vec<Problem>,
    },
    /// The machine gave no random octets.
    #[error("the system gave no random numbers")]
    Random,
}

fn lines(file: &Path, problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        let gap = if problem.position.is_some() { "" } else { " " };
        format!("{}:{gap}{problem}", file.display())
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Accounts {
    /// Reads the file; without one there are no accounts. Blocks.
    pub fn open(file: Option<&Path>) -> Result<Self, AccountsError> {
        let book = read(file)?;
        Ok(Self { file: file.map(Path::to_owned), current: ArcSwap::from_pointee(book) })
    }

    /// Reads the file again; logins from now on see what it holds. Blocks.
    ///
    /// # Errors
    /// When the file cannot be used: the old accounts stay in use.
    pub fn reload(&self) -> Result<(), AccountsError> {
        self.current.store(Arc::new(read(self.file.as_deref())?));
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.current.load().len()
    }

    /// Whether there is one of this name, be it disabled.
    pub fn has(&self, name: &str) -> bool {
        self.current.load().named(name).is_some()
    }

    pub(crate) fn book(&self) -> Guard<Arc<Book>> {
        self.current.load()
    }
}

fn read(file: Option<&Path>) -> Result<Book, AccountsError> {
    let accounts = match file {
        None => Vec::new(),
        Some(file) => {
            let wrong = |problems| AccountsError::Wrong { file: file.to_owned(), problems };
            let secret = read_file(file, FILE_OCTETS_MAX).map_err(AccountsError::File)?;
            let not_utf8 = |_| {
                wrong(vec![Problem {
                    position: None,
                    key: None,
                    words: "this is not UTF-8".to_owned(),
                }])
            };
            let text = std::str::from_utf8(secret.as_bytes()).map_err(not_utf8)?;
            file::parse(text).map_err(wrong)?
        }
    };
    let mut random = [0; 64];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| AccountsError::Random)?;
    Ok(Book::new(accounts, &random))
}

impl fmt::Display for Accounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} accounts", self.count())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ONE: &str = "[[account]]\nname = \"a@b.example\"\ntokens = [\"x\"]\n";
    const OTHER: &str = "[[account]]\nname = \"c@b.example\"\ntokens = [\"y\"]\n";

    #[test]
    fn a_reload_that_fails_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), ONE).unwrap();
        let accounts = Accounts::open(Some(file.path())).unwrap();
        assert_eq!(accounts.count(), 1);
        write(file.path(), format!("{ONE}{ONE}")).unwrap();
        let error = accounts.reload().unwrap_err();
        let want = format!(
            "{}:5:8: account.name: `a@b.example` is the name of account 1 too",
            file.path().display()
        );
        assert!(error.to_string().starts_with(&want), "{error}");
        assert_eq!(accounts.count(), 1);
        write(file.path(), format!("{ONE}{OTHER}")).unwrap();
        accounts.reload().unwrap();
        assert_eq!(accounts.count(), 2);
        assert!(accounts.has("c@b.example") && !accounts.has("C@b.example"));
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), ONE).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
        let error = Accounts::open(Some(file.path())).unwrap_err();
        assert!(matches!(error, AccountsError::File(SecretFileError::Open { .. })), "{error}");
        assert_eq!(Accounts::open(None).unwrap().count(), 0);
    }
}
