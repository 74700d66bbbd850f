//! Going through a column family although parts of it may be damaged.

use mail::MessageId;
use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions};

use crate::engine::{Engine, EngineError, Family, family_of};
use crate::record::progress;
use crate::rows::Rows;

/// A part of a family, in the order of its keys.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Rows,
    /// Where the next page begins; none at the end.
    pub(crate) next: Option<Vec<u8>>,
    /// What the database said of places that it could not read at all.
    pub(crate) damage: Vec<Box<str>>,
}

type Cursor<'a> = DBRawIteratorWithThreadMode<'a, DB>;

/// What is read ahead of a page that is part of a longer scan: the database has the system read no more
/// than it is asked for, and a scan that waits for the device at each block is slow.
const READ_AHEAD_OCTETS: usize = 512 << 10;

/// Reads up to `limit` rows of `family` from `from` on, below `end` if given.
///
/// A damaged block is read without its checksum, as each row has its own; if it cannot be taken apart
/// at all, the rows before and behind it are given and the damage is named.
pub(crate) fn page(
    engine: &Engine,
    family: Family,
    from: &[u8],
    end: Option<&[u8]>,
    limit: usize,
) -> Result<Page, EngineError> {
    let db = engine.db()?;
    let handle = family_of(&db, family)?;
    let open = |verifies: bool| {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(verifies);
        options.fill_cache(false);
        if limit < usize::MAX {
            options.set_readahead_size(READ_AHEAD_OCTETS);
        }
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        db.raw_iterator_cf_opt(&handle, options)
    };
    let (mut page, mut at) = (Page::default(), from.to_vec());
    let mut rows = open(true);
    rows.seek(&at);
    let Err(error) = collect(&mut rows, &mut page, &mut at, limit) else { return Ok(page) };
    let EngineError::Corrupt(_) = error else { return Err(error) };
    let mut rows = open(false);
    rows.seek(&at);
    while let Err(error) = collect(&mut rows, &mut page, &mut at, limit) {
        let EngineError::Corrupt(words) = error else { return Err(error) };
        page.damage.push(words);
        if !pass(&mut rows, &mut page, &mut at) {
            page.next = None;
            return Ok(page);
        }
    }
    Ok(page)
}

/// Takes rows until the page is full, the end or damage; `at` is where to go on.
fn collect(
    rows: &mut Cursor<'_>,
    page: &mut Page,
    at: &mut Vec<u8>,
    limit: usize,
) -> Result<(), EngineError> {
    while let Some((key, value)) = rows.item() {
        if key < at.as_slice() {
            return Err(EngineError::Corrupt("keys are out of order".into()));
        }
        if page.rows.len() >= limit {
            page.next = Some(key.to_vec());
            return Ok(());
        }
        page.rows.push(key, value);
        at.clear();
        at.extend_from_slice(key);
        at.push(0);
        rows.next();
    }
    page.next = None;
    Ok(rows.status()?)
}

/// Finds the next row behind damage by ever longer steps, then takes the rows between from behind.
/// Leaves `rows` at the row found; false if there is none.
fn pass(rows: &mut Cursor<'_>, page: &mut Page, at: &mut Vec<u8>) -> bool {
    let mut from = [0; 16];
    for (place, octet) in from.iter_mut().zip(at.iter()) {
        *place = *octet;
    }
    let from = u128::from_be_bytes(from);
    for shift in 0..u128::BITS {
        let Some(target) = from.checked_add(1 << shift) else { return false };
        rows.seek(target.to_be_bytes());
        if rows.valid() {
            break;
        }
        if rows.status().is_ok() {
            return false;
        }
    }
    let Some(found) = rows.key().map(<[u8]>::to_vec).filter(|key| *key > *at) else { return false };
    let mut between = Vec::new();
    rows.prev();
    while let Some((key, value)) = rows.item() {
        if key < at.as_slice() || between.len() >= BETWEEN_MAX {
            break;
        }
        between.push((key.to_vec(), value.to_vec()));
        rows.prev();
    }
    for (key, value) in between.iter().rev() {
        page.rows.push(key, value);
    }
    rows.seek(&found);
    *at = found;
    rows.valid()
}

/// Rows taken from behind at once; a block holds some dozens.
const BETWEEN_MAX: usize = 4096;

/// The rows of one message's progress.
pub(crate) fn progress(engine: &Engine, id: MessageId) -> Result<Page, EngineError> {
    let (from, end) = (progress::key(id, 0), progress::key(id, u32::MAX));
    page(engine, Family::Progress, &from, Some(&end), usize::MAX)
}

/// The keys of one message's progress.
pub(crate) fn progress_keys(engine: &Engine, id: MessageId) -> Result<Vec<Vec<u8>>, EngineError> {
    Ok(progress(engine, id)?.rows.iter().map(|(key, _)| key.to_vec()).collect())
}

/// The greatest message of a family, as far as it can be read.
pub(crate) fn last_message(
    engine: &Engine,
    family: Family,
) -> Result<Option<MessageId>, EngineError> {
    let (last, status) = {
        let db = engine.db()?;
        let handle = family_of(&db, family)?;
        let mut rows = db.raw_iterator_cf(&handle);
        rows.seek_to_last();
        (rows.key().map(<[u8]>::to_vec), rows.status())
    };
    match (last, status.map_err(EngineError::from)) {
        (None, Ok(())) => return Ok(None),
        (Some(key), Ok(())) => {
            if let Some(id) = message(&key) {
                return Ok(Some(id));
            }
        }
        (_, Err(EngineError::Corrupt(_))) => {}
        (_, Err(error)) => return Err(error),
    }
    // The end is damaged. What stands before it must not be taken for nothing, so it is looked for from the front.
    let (mut last, mut next) = (None, Some(Vec::new()));
    while let Some(from) = next {
        let page = page(engine, family, &from, None, PAGE)?;
        last = page.rows.iter().filter_map(|(key, _)| message(key)).max().max(last);
        next = page.next;
    }
    Ok(last)
}

fn message(key: &[u8]) -> Option<MessageId> {
    key.try_into().ok().map(MessageId::from_bytes)
}

/// Rows read at once.
const PAGE: usize = 256;
