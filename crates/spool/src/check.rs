//! Verification of a spool that no relay has open: every record, every checksum, every reference.
//!
//! Nothing is changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mail::MessageId;

use crate::engine::{Engine, EngineError, Family};
use crate::error::OpenError;
use crate::folder::{self, Folder};
use crate::record::RecordError;
use crate::record::aside::Aside;
use crate::record::envelope::{Message, Place};
use crate::record::extent::{Extent, HEADER_OCTETS, Header};
use crate::record::progress;
use crate::{scan, segments};

/// Findings given in words; beyond it they are only counted.
const WORDS_MAX: usize = 1000;
const PAGE: usize = 256;

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Something is damaged or missing: some message cannot be delivered as it was received.
    Fault,
    /// Something is left over or was set aside earlier; no accepted message suffers from it now.
    Note,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// The message it is about, where one is known.
    pub message: Option<MessageId>,
    /// What it is, in words.
    pub words: String,
}

/// What a check found in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Sound messages.
    pub messages: u64,
    /// Their content in octets.
    pub octets: u64,
    /// Segment files.
    pub segments: u64,
    /// Records set aside earlier.
    pub aside: u64,
    /// Findings that are faults.
    pub faults: u64,
    /// Findings that are notes.
    pub notes: u64,
    /// The first thousand findings.
    pub findings: Vec<Finding>,
}

/// How far the check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being verified: `messages`, `content`, `progress`, `aside` or `segments`.
    pub step: &'static str,
    /// Records or files done in this step.
    pub done: u64,
    /// How many there are, about.
    pub total: u64,
}

/// Why a check cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The spool cannot be opened, or a relay has it open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database cannot be read at all.
    #[error("the spool database cannot be read: {0}")]
    Engine(Box<str>),
}

impl From<EngineError> for CheckError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error.to_string().into())
    }
}

/// Verifies the spool in `path`, telling `each` how far it is. Blocks.
pub fn run(path: &Path, each: &mut dyn FnMut(Progress)) -> Result<Findings, CheckError> {
    let _folder = Folder::open_to_read(path)?;
    let engine = Engine::open_to_read(&folder::database(path))?;
    let files = segments::list(&folder::segments(path)).map_err(|source| OpenError::Folder {
        path: path.display().to_string().into(),
        step: "read the folder",
        source,
    })?;
    let mut check = Check {
        engine,
        folder: folder::segments(path),
        each,
        recipients: HashMap::new(),
        aside: HashSet::new(),
        used: BTreeMap::new(),
        findings: Findings { segments: files.len() as u64, ..Findings::default() },
    };
    check.aside()?;
    check.messages()?;
    check.content()?;
    check.progress()?;
    check.segments(&files);
    Ok(check.findings)
}

struct Check<'a> {
    engine: Engine,
    folder: PathBuf,
    each: &'a mut dyn FnMut(Progress),
    /// Messages that have a sound envelope, and how many recipients it has.
    recipients: HashMap<MessageId, u32>,
    /// Messages of which something was set aside.
    aside: HashSet<MessageId>,
    /// By segment: ranges that messages refer to.
    used: BTreeMap<u64, Vec<(u64, u64, MessageId)>>,
    findings: Findings,
}

type Row<'a> = (&'a [u8], &'a [u8]);

impl Check<'_> {
    fn find(&mut self, severity: Severity, message: Option<MessageId>, words: String) {
        match severity {
            Severity::Fault => self.findings.faults += 1,
            Severity::Note => self.findings.notes += 1,
        }
        if self.findings.findings.len() < WORDS_MAX {
            self.findings.findings.push(Finding { severity, message, words });
        }
    }

    fn fault(&mut self, message: Option<MessageId>, words: String) {
        self.find(Severity::Fault, message, words);
    }

    /// Goes through a family.
    fn rows(
        &mut self,
        family: Family,
        step: &'static str,
        take: impl Fn(&mut Self, Row<'_>),
    ) -> Result<(), CheckError> {
        let (total, mut done, mut next) = (self.engine.rows(family), 0, Some(Vec::new()));
        while let Some(from) = next {
            let page = scan::page(&self.engine, family, &from, None, PAGE)?;
            for words in page.damage {
                self.fault(
                    None,
                    format!("rows of family {} cannot be read: {words}", family.name()),
                );
            }
            for (key, value) in page.rows.iter() {
                take(self, (key, value));
            }
            done += page.rows.len() as u64;
            (self.each)(Progress { step, done, total: total.max(done) });
            next = page.next;
        }
        Ok(())
    }

    fn aside(&mut self) -> Result<(), CheckError> {
        self.rows(Family::Aside, "aside", |check, (key, value)| {
            check.findings.aside += 1;
            let id = key.get(1..).and_then(crate::record::array).map(MessageId::from_bytes);
            check.aside.extend(id);
            let words = match Aside::decode(value, key) {
                Ok(aside) => format!("a record was set aside at {}: {}", aside.at, aside.reason),
                Err(error) => format!("a record that was set aside is itself damaged: {error}"),
            };
            check.find(Severity::Note, id, words);
        })
    }

    fn messages(&mut self) -> Result<(), CheckError> {
        self.rows(Family::Envelope, "messages", |check, (key, value)| {
            let Ok(octets) = key.try_into() else {
                return check.fault(None, "an envelope has a malformed key".into());
            };
            let id = MessageId::from_bytes(octets);
            let message = match Message::decode(value, id) {
                Ok(message) => message,
                Err(error) => return check.fault(Some(id), format!("the envelope: {error}")),
            };
            let count = u32::try_from(message.envelope.recipients.len()).unwrap_or(u32::MAX);
            check.recipients.insert(id, count);
            match check.content_of(id, &message) {
                Ok(octets) if octets == message.octets => {
                    check.findings.messages += 1;
                    check.findings.octets += octets;
                }
                Ok(octets) => {
                    let words = format!("the content has {octets} octets, not {}", message.octets);
                    check.fault(Some(id), words);
                }
                Err(words) => check.fault(Some(id), words),
            }
        })
    }

    /// Verifies the content of a message and gives its size.
    fn content_of(&mut self, id: MessageId, message: &Message) -> Result<u64, String> {
        let Place::Extents(extents) = &message.place else {
            let body = match self.engine.get(Family::Body, &id.to_bytes()) {
                Ok(Some(body)) => Header::verify(&body, id, 0),
                Ok(None) => return Err("the content is missing".into()),
                Err(error) => Err(RecordError::Engine(error.to_string().into())),
            };
            let header = body.map_err(|error| format!("the content: {error}"))?;
            return Ok(u64::from(header.octets));
        };
        for (index, extent) in (0_u32..).zip(extents.iter()) {
            let (offset, octets) = segments::span(extent);
            self.used.entry(extent.segment).or_default().push((offset, octets, id));
            let sound = self.extent(id, index, extent);
            sound.map_err(|error| {
                format!("extent {index} in segment {:x} at {offset}: {error}", extent.segment)
            })?;
        }
        Ok(extents.iter().map(|extent| u64::from(extent.octets)).sum())
    }

    fn extent(&self, id: MessageId, index: u32, extent: &Extent) -> Result<(), String> {
        let read = || -> io::Result<Vec<u8>> {
            let file = File::open(segments::path(&self.folder, extent.segment))?;
            let octets = usize::try_from(extent.octets_framed()).unwrap_or(usize::MAX);
            if extent.offset.saturating_add(extent.octets_framed()) > file.metadata()?.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut frame = vec![0; octets];
            file.read_exact_at(&mut frame, extent.offset)?;
            Ok(frame)
        };
        let frame = read().map_err(|error| error.to_string())?;
        let header = Header::verify(&frame, id, index).map_err(|error| error.to_string())?;
        if header.crc == extent.crc { Ok(()) } else { Err(RecordError::Checksum.to_string()) }
    }

    fn content(&mut self) -> Result<(), CheckError> {
        self.rows(Family::Body, "content", |check, (key, _)| {
            let id = key.try_into().ok().map(MessageId::from_bytes);
            let is_known = id
                .is_some_and(|id| check.recipients.contains_key(&id) || check.aside.contains(&id));
            if !is_known {
                check.find(Severity::Note, id, "content without an envelope".into());
            }
        })
    }

    fn progress(&mut self) -> Result<(), CheckError> {
        self.rows(Family::Progress, "progress", |check, (key, value)| {
            let Some((id, recipient)) = progress::split_key(key) else {
                return check.fault(None, "a progress record has a malformed key".into());
            };
            if let Err(error) = progress::decode(value, key) {
                let words = format!("the progress of recipient {recipient}: {error}");
                check.fault(Some(id), words);
            }
            match check.recipients.get(&id) {
                Some(count) if recipient < *count => {}
                Some(_) => {
                    let words =
                        format!("progress of recipient {recipient}, which it does not have");
                    check.fault(Some(id), words);
                }
                None if check.aside.contains(&id) => {}
                None => check.find(Severity::Note, Some(id), "progress without an envelope".into()),
            }
        })
    }

    fn segments(&mut self, files: &BTreeMap<u64, u64>) {
        let total = files.len() as u64;
        for (done, (number, octets)) in (1_u64..).zip(files) {
            let mut used = self.used.remove(number).unwrap_or_default();
            used.sort_unstable();
            for (one, two) in used.iter().zip(used.iter().skip(1)) {
                if one.0 + one.1 > two.0 {
                    let words = format!("shares octets of segment {number:x} with {}", one.2);
                    self.fault(Some(two.2), words);
                }
            }
            let (mut orphans, mut orphan_octets) = (0_u64, 0);
            let mut see = |offset, header: Header| {
                let is_used = used.binary_search_by_key(&offset, |(offset, ..)| *offset).is_ok();
                if !is_used && !self.aside.contains(&header.id) {
                    orphans += 1;
                    orphan_octets += u64::from(header.octets) + HEADER_OCTETS as u64;
                }
            };
            let walked = File::open(segments::path(&self.folder, *number))
                .and_then(|file| segments::walk(&file, *octets, &mut see));
            if let Err(error) = walked {
                self.fault(None, format!("segment {number:x} cannot be read: {error}"));
            }
            if orphans > 0 {
                let words = format!(
                    "segment {number:x} holds {orphans} extents ({orphan_octets} octets) of no message, which the next start gives back"
                );
                self.find(Severity::Note, None, words);
            }
            (self.each)(Progress { step: "segments", done, total });
        }
    }
}
