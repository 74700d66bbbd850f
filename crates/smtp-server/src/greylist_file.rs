//! The greylist on the device: written now and then and at the end, read at the start.
//!
//! Losing it costs strangers one more wait and no mail, so whatever is wrong with it is logged and no more.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::config::Greylist as Config;
use crate::greylist::{Greylist, Seen};

const MAGIC: &[u8; 16] = b"chasqui greys 1\n";
const ENTRY_OCTETS: usize = 16;
/// More entries than any setting takes.
const OCTETS_MAX: u64 = 1 << 32;

/// Knows whom the file knows; nobody, if there is none. Blocks on the file.
pub(crate) fn open(config: &Config) -> io::Result<Greylist> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| io::Error::other("no randomness"))?;
    let Some(path) = &config.file else { return Ok(Greylist::new(config, secret)) };
    match read(path) {
        Ok(None) => {}
        Ok(Some((kept, entries))) => {
            let greylist = Greylist::new(config, kept);
            let mut table = greylist.table.lock();
            for (print, seen) in entries {
                table.change_print(print, 0, |entry| *entry = seen);
            }
            drop(table);
            return Ok(greylist);
        }
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "greylist not read, it begins anew");
        }
    }
    Ok(Greylist::new(config, secret))
}

/// Writes all that is known, so that the file is either the old or the new one. Blocks on the file.
pub(crate) fn save(greylist: &Greylist, path: &Path) -> io::Result<()> {
    let mut octets = [MAGIC.as_slice(), &greylist.secret].concat();
    for (print, seen) in greylist.table.lock().entries() {
        octets.extend_from_slice(&print.to_le_bytes());
        octets.extend_from_slice(&seen.first.to_le_bytes());
        octets.extend_from_slice(&seen.until.to_le_bytes());
    }
    let sum = digest(&SHA256, &octets);
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(&octets)?;
    file.write_all(sum.as_ref())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

type Kept = ([u8; 32], Vec<(u64, Seen)>);

/// None if there is no file.
fn read(path: &Path) -> io::Result<Option<Kept>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut octets = Vec::new();
    file.take(OCTETS_MAX).read_to_end(&mut octets)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file is damaged");
    parse(&octets).map(Some).ok_or_else(damaged)
}

fn parse(octets: &[u8]) -> Option<Kept> {
    let (body, sum) = octets.split_last_chunk::<32>()?;
    if digest(&SHA256, body).as_ref() != sum {
        return None;
    }
    let (secret, entries) = body.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    let (entries, []) = entries.as_chunks::<ENTRY_OCTETS>() else { return None };
    let number = |octets: &[u8; 4]| u32::from_le_bytes(*octets);
    let entry = |octets: &[u8; ENTRY_OCTETS]| {
        let (print, rest) = octets.split_first_chunk::<8>()?;
        let (first, until) = rest.split_first_chunk::<4>()?;
        let until = number(until.first_chunk()?);
        Some((u64::from_le_bytes(*print), Seen { first: number(first), until }))
    };
    Some((*secret, entries.iter().filter_map(entry).collect()))
}

#[cfg(test)]
mod tests {
    use mail::{Address, ReversePath};

    use super::*;
    use crate::greylist::Word;

    fn look(greylist: &Greylist, now: u64) -> Word {
        let to = Address::parse("b@b.example").unwrap();
        greylist.look("192.0.2.1".parse().unwrap(), (&ReversePath::Null, &to), now)
    }

    #[test]
    fn what_is_known_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("greylist");
        let config = Config { file: Some(path.clone()), ..Config::default() };
        let greylist = open(&config).unwrap();
        assert_eq!(look(&greylist, 1_800_000_000), Word::Wait(300));
        save(&greylist, &path).unwrap();
        let greylist = open(&config).unwrap();
        assert_eq!(look(&greylist, 1_800_000_300), Word::Passed);
        save(&greylist, &path).unwrap();
        assert_eq!(look(&open(&config).unwrap(), 1_800_000_301), Word::Known);
        // Of less room the rest is forgotten, and no more than that.
        let small = Config { remembered_max: 8, ..config };
        assert_eq!(look(&open(&small).unwrap(), 1_800_000_301), Word::Known);
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("greylist");
        let config = Config { file: Some(path.clone()), ..Config::default() };
        let greylist = open(&config).unwrap();
        look(&greylist, 1_800_000_000);
        save(&greylist, &path).unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len(), 16 + 32 + 16 + 32);
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(parse(&damaged).is_none(), "octet {place}");
            assert!(parse(&whole[..place]).is_none(), "cut at {place}");
        }
        fs::write(&path, &whole[..50]).unwrap();
        assert_eq!(look(&open(&config).unwrap(), 1_800_000_300), Word::Wait(300));
    }
}
