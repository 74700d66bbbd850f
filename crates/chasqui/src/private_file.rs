//! A secret in a file of its own.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes `text` into a new file that only its owner may read; it is on the device afterwards. What is made belongs to
/// the owner of `like`, as far as that is for us to do.
pub(crate) fn write(file: &Path, text: &str, like: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        own(&File::open(folder)?, like)?;
    }
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(0o600).open(file)?;
    let written = own(&out, like)
        .and_then(|()| out.write_all(text.as_bytes()))
        .and_then(|()| out.sync_all())
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // Half a secret is of no use to anybody.
        drop(fs::remove_file(file));
    }
    written
}

fn own(file: &File, like: &Path) -> io::Result<()> {
    fs::metadata(like).map_or(Ok(()), |like| settings::own(file, &like))
}
