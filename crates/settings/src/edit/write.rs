//! Files written at once or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use crate::edit::error::EditError;

/// Keeps other editors out until it is dropped. Waits for them.
pub(super) fn lock(folder: &Path) -> Result<File, EditError> {
    // The folder, since each edit puts a new file in the place of the old one.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let locked = File::open(folder).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|source| EditError::Unwritable { file: folder.to_owned(), source })
}

/// Lets `file` say `text`, or takes it away; a new one gets mode and owner of `like`. It is on the device afterwards.
pub(super) fn put(file: &Path, text: Option<&str>, like: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    match text {
        None => fs::remove_file(file)?,
        Some(text) => {
            make(folder, like)?;
            // A link stays a link: what it points to is what changes.
            let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            replace(&real, text, like)?;
        }
    }
    File::open(folder)?.sync_all()
}

fn make(folder: &Path, like: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let metadata = fs::metadata(like)?;
    // Who may read the file may look into the folder.
    let mode = metadata.mode() & 0o777;
    let mode = mode | (mode & 0o444) >> 2 | 0o700;
    fs::DirBuilder::new().mode(mode).create(folder)?;
    let made = File::open(folder)?;
    own(&made, &metadata)?;
    folder.parent().map_or(Ok(()), |parent| {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()
    })
}

fn replace(file: &Path, text: &str, like: &Path) -> io::Result<()> {
    let metadata = fs::metadata(file).or_else(|_| fs::metadata(like))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, so that it never counts as a file of the folder.
    let new = file.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.set_permissions(Permissions::from_mode(metadata.mode() & 0o777))?;
        own(&out, &metadata)?;
        out.sync_all()?;
        fs::rename(&new, file)
    })();
    if written.is_err() {
        // It may never have been made.
        drop(fs::remove_file(&new));
    }
    written
}

/// Gives `file` the owner of another, as far as that is for us to do.
pub fn own(file: &File, like: &fs::Metadata) -> io::Result<()> {
    let is = file.metadata()?;
    if (is.uid(), is.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    match fchown(file, Some(like.uid()), Some(like.gid())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}
