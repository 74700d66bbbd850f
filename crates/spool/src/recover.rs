//! The scan at start.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mail::MessageId;

use crate::engine::{EngineError, Family};
use crate::error::RecoverError;
use crate::inner::Inner;
use crate::record::RecordError;
use crate::record::envelope::{Message, Place};
use crate::record::progress;
use crate::request::{Freed, SetAside};
use crate::scan;
use crate::state::{Recovered, Recovery};
use crate::stored;

/// Messages read at once: what the scan takes of memory, and how long the database is held.
const PAGE: usize = 256;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Hands over every message up to `last`.
pub(crate) fn run(
    inner: &Arc<Inner>,
    last: Option<MessageId>,
    each: &mut dyn FnMut(Recovered),
) -> Result<Recovery, RecoverError> {
    let mut recovery = Recovery::default();
    let corrupt_before = inner.shared.accounts.counts().corrupt;
    let mut asides = HashSet::new();
    let mut next = last.map(|_| inner.scanned_to.lock().clone());
    let end = last.map(|last| [&last.to_bytes()[..], &[0]].concat());
    while let Some(from) = next {
        let page = scan::page(&inner.shared.engine, Family::Envelope, &from, end.as_deref(), PAGE);
        let page = page.map_err(|error| failed(&error))?;
        if !page.damage.is_empty() {
            inner.shared.segments.keep_all();
        }
        report_damage(inner, Family::Envelope, page.damage);
        let mut progress = progress_of(inner, &page.rows).map_err(|error| failed(&error))?;
        for (key, value) in page.rows {
            let behind = [&key[..], &[0]].concat();
            match decode(&key, &value) {
                Ok((id, message)) => {
                    let rows = progress.remove(&id).unwrap_or_default();
                    let recovered = found(inner, id, &message, &rows);
                    recovery.messages += 1;
                    recovery.octets += recovered.octets;
                    each(recovered);
                }
                Err((id, error)) => {
                    asides.insert(id);
                    let (reason, freed) = (error.to_string().into(), Freed::default());
                    let records = vec![(Family::Envelope, key, value)];
                    inner.set_aside_blocking(
                        Family::Envelope,
                        SetAside { id, records, reason, freed },
                    );
                }
            }
            *inner.scanned_to.lock() = behind;
        }
        next = page.next;
    }
    asides.extend(ids_aside(inner).map_err(|error| failed(&error))?);
    inner.shared.segments.scan_ended(&asides);
    recovery.corrupt = inner.shared.accounts.counts().corrupt - corrupt_before;
    Ok(recovery)
}

fn failed(error: &EngineError) -> RecoverError {
    RecoverError::Engine(error.to_string().into())
}

fn decode(key: &[u8], value: &[u8]) -> Result<(MessageId, Message), (MessageId, RecordError)> {
    let Ok(octets) = key.try_into() else {
        return Err((MessageId::from_bytes([0; 16]), RecordError::Key));
    };
    let id = MessageId::from_bytes(octets);
    Message::decode(value, id).map(|message| (id, message)).map_err(|error| (id, error))
}

/// Counts a message and puts together where its recipients stand.
fn found(inner: &Arc<Inner>, id: MessageId, message: &Message, rows: &Rows) -> Recovered {
    let mut aside = Vec::new();
    let recipients = stored::recipients(id, message, rows, &mut aside);
    for (family, aside) in aside {
        inner.set_aside_blocking(family, aside);
    }
    inner.shared.accounts.found(message.octets);
    if let Place::Extents(extents) = &message.place {
        inner.shared.segments.found(extents);
    }
    Recovered {
        id,
        envelope: Arc::clone(&message.envelope),
        received_at: message.received_at,
        octets: message.octets,
        recipients,
    }
}

/// The progress of all messages of a page.
fn progress_of(inner: &Inner, rows: &Rows) -> Result<HashMap<MessageId, Rows>, EngineError> {
    let mut by_message: HashMap<MessageId, Rows> = HashMap::new();
    let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else {
        return Ok(by_message);
    };
    let end = [last, &[u8::MAX; 5][..]].concat();
    let mut next = Some(first.clone());
    while let Some(from) = next {
        let page = scan::page(&inner.shared.engine, Family::Progress, &from, Some(&end), PAGE)?;
        report_damage(inner, Family::Progress, page.damage);
        for (key, value) in page.rows {
            if let Some((id, _)) = progress::split_key(&key) {
                by_message.entry(id).or_default().push((key, value));
            }
        }
        next = page.next;
    }
    Ok(by_message)
}

/// Messages of which something was set aside, now or earlier.
fn ids_aside(inner: &Inner) -> Result<HashSet<MessageId>, EngineError> {
    let (mut ids, mut next) = (HashSet::new(), Some(Vec::new()));
    while let Some(from) = next {
        let page = scan::page(&inner.shared.engine, Family::Aside, &from, None, PAGE)?;
        report_damage(inner, Family::Aside, page.damage);
        let id =
            |key: &Vec<u8>| key.get(1..).and_then(crate::record::array).map(MessageId::from_bytes);
        ids.extend(page.rows.iter().filter_map(|(key, _)| id(key)));
        next = page.next;
    }
    Ok(ids)
}

fn report_damage(inner: &Inner, family: Family, damage: Vec<Box<str>>) {
    for words in damage {
        tracing::error!(record = family.name(), error = %words, "records of the spool cannot be read");
        inner.corrupt_found(family);
    }
}
