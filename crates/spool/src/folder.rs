//! The folder of a spool: made, tried out, locked, and of a layout that is known here.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// The newest layout known here.
const LAYOUT: u32 = 1;

/// A folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, tries it out and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let fault = |step| fault(path, step);
        for folder in [path.to_owned(), database(path), segments(path)] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(fault("make a folder"))?;
        }
        let lock = take_lock(path, OpenOptions::new().write(true).create(true).truncate(false))?;
        for folder in [path.to_owned(), database(path), segments(path)] {
            try_out(&folder).map_err(|(step, error)| fault(step)(error))?;
        }
        check_layout(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Locks a folder to look at it; nothing else in it is touched.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, OpenError> {
        let lock = take_lock(path, OpenOptions::new().write(true))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Free octets for us on its device.
    pub(crate) fn free_octets(&self) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(&self.path)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}

/// Where the database is.
pub(crate) fn database(path: &Path) -> PathBuf {
    path.join("database")
}

/// Where the segment files are.
pub(crate) fn segments(path: &Path) -> PathBuf {
    path.join("segments")
}

/// Says which step on the folder at `path` failed.
fn fault(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.display().to_string().into();
    move |source| OpenError::Folder { path, step, source }
}

/// Opens the lock file and takes its lock; one process has it at a time.
fn take_lock(path: &Path, options: &OpenOptions) -> Result<File, OpenError> {
    let lock = options.open(path.join("lock")).map_err(fault(path, "open the lock file"))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse(path.display().to_string().into()),
        TryLockError::Error(error) => fault(path, "lock a file")(error),
    })?;
    Ok(lock)
}

/// Writes, syncs, renames and removes a file, so that wrong permissions show now and not after a
/// first restart.
fn try_out(folder: &Path) -> Result<(), (&'static str, io::Error)> {
    let (first, second) = (folder.join(".try"), folder.join(".tried"));
    let step = |name| move |error| (name, error);
    std::fs::write(&first, b"try").map_err(step("write a file"))?;
    let file = File::open(&first).map_err(step("read a file"))?;
    file.sync_all().map_err(step("sync a file"))?;
    std::fs::rename(&first, &second).map_err(step("rename a file"))?;
    let folder = File::open(folder).map_err(step("open the folder"))?;
    folder.sync_all().map_err(step("sync the folder"))?;
    std::fs::remove_file(&second).map_err(step("remove a file"))
}

fn check_layout(path: &Path) -> Result<(), OpenError> {
    let file = path.join("layout");
    let fault = |step| fault(path, step);
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim().parse().is_ok_and(|layout: u32| (1..=LAYOUT).contains(&layout)) => {
            Ok(())
        }
        // Empty after a crash at the very first start.
        Ok(text) if !text.trim().is_empty() => Err(OpenError::Layout {
            path: path.display().to_string().into(),
            found: text.trim().chars().take(20).collect::<String>().into(),
            known: LAYOUT,
        }),
        Ok(_) => write_layout(path).map_err(fault("write the layout")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_layout(path).map_err(fault("write the layout"))
        }
        Err(error) => Err(fault("read the layout")(error)),
    }
}

fn write_layout(path: &Path) -> io::Result<()> {
    let file = path.join("layout");
    std::fs::write(&file, format!("{LAYOUT}\n"))?;
    File::open(&file)?.sync_all()?;
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/spool");
        let held = Folder::open(&path).unwrap();
        assert!(held.free_octets().unwrap() > 0);
        assert!(matches!(Folder::open(&path), Err(OpenError::InUse(_))));
        drop(held);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn a_later_layout_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Folder::open(folder.path()).unwrap());
        std::fs::write(folder.path().join("layout"), "2\n").unwrap();
        assert!(matches!(Folder::open(folder.path()), Err(OpenError::Layout { known: 1, .. })));
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("segments"), "a file").unwrap();
        assert!(matches!(Folder::open(folder.path()), Err(OpenError::Folder { .. })));
    }
}
