//! Files of secrets that only owner and group may use.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

/// What others than owner and group may do to a file.
const BY_EVERYBODY: u32 = 0o007;
/// Larger files hold no key.
const FILE_OCTETS_MAX: u64 = 64 * 1024;

/// Why such a file cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    Unreadable(io::Error),
    /// Others may use it, by these permissions.
    Open(u32),
    /// It is nothing to read.
    Bad(&'static str),
}

/// What a file holds. Blocks.
pub(crate) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    // Opening a pipe would wait for whoever writes into it.
    let facts = std::fs::metadata(file).map_err(Unusable::Unreadable)?;
    if !facts.is_file() {
        return Err(Unusable::Bad("it is not a file"));
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & BY_EVERYBODY != 0 {
        return Err(Unusable::Open(mode));
    }
    let mut octets = Zeroizing::new(Vec::new());
    let opened = File::open(file).map_err(Unusable::Unreadable)?;
    opened.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(Unusable::Unreadable)?;
    if octets.len() as u64 > FILE_OCTETS_MAX {
        return Err(Unusable::Bad("it is too long"));
    }
    Ok(octets)
}
