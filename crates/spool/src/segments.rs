//! The segment files: where large content gets its place, and how the space comes back.
//!
//! Places are given out front to back and never twice, so no write can hit content that is still
//! referred to. A segment that is full is sealed; sealed, its dead ranges are punched out, and it is
//! removed once nothing in it lives.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mail::MessageId;
use parking_lot::Mutex;
use rustix::fs::FallocateFlags;

use crate::body::Lane;
use crate::faults::Faults;
use crate::record::extent::{CONTENT_OCTETS_MAX, Extent, HEADER_OCTETS, Header};

/// Extents begin at multiples of this, so that punching one out frees whole blocks and a torn write
/// never touches a neighbour.
pub(crate) const ALIGNMENT: u64 = 4096;
const SEGMENT_OCTETS_MIN: u64 = 1 << 20;
const _: () = assert!(SEGMENT_OCTETS_MIN > 2 * CONTENT_OCTETS_MAX as u64);

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: Arc<File>,
    /// Syncs asked for so far.
    asked: AtomicU64,
    /// The highest of them that is done. Whoever holds the lock syncs for all who asked before.
    done: tokio::sync::Mutex<u64>,
    /// A sync failed or was not waited for: what the device then holds is not known, and a later sync would not say.
    is_failed: AtomicBool,
}

impl Segment {
    fn new(number: u64, file: File) -> Arc<Self> {
        Arc::new(Self {
            number,
            file: Arc::new(file),
            asked: AtomicU64::new(0),
            done: tokio::sync::Mutex::new(0),
            is_failed: AtomicBool::new(false),
        })
    }

    /// Puts all that was written before the call on the device; one sync serves all who wait.
    pub(crate) async fn sync(&self, lane: &Lane) -> io::Result<()> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = self.done.lock().await;
        if self.is_failed.load(Ordering::SeqCst) {
            return Err(io::Error::other("an earlier sync of the segment failed"));
        }
        if *done >= ticket {
            return Ok(());
        }
        let covered = self.asked.load(Ordering::SeqCst);
        // Until it is done it counts as failed: if nobody waits any more, nobody hears what came of it, and the
        // system tells of a lost write only once.
        self.is_failed.store(true, Ordering::SeqCst);
        lane.sync(&self.file).await?;
        self.is_failed.store(false, Ordering::SeqCst);
        *done = covered;
        Ok(())
    }
}

/// All segment files.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: PathBuf,
    octets: u64,
    faults: Faults,
    state: Mutex<State>,
    /// One new segment at a time.
    creating: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    all: BTreeMap<u64, Entry>,
    active: Option<u64>,
    next: u64,
    /// While the scan at start runs: what it has found, and what was released meanwhile.
    scan: Option<Scan>,
    /// What is to be done to files, outside the lock.
    chores: Vec<Chore>,
}

#[derive(Debug)]
struct Entry {
    /// Opened when first needed.
    segment: Option<Arc<Segment>>,
    tail: u64,
    octets: u64,
    live: u64,
    /// Was there when the spool was opened: what lives in it, only the scan at start knows.
    is_old: bool,
    /// Dead ranges, kept until the segment is sealed.
    dead: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Scan {
    live: BTreeMap<u64, Vec<(u64, u64)>>,
    released: Vec<Extent>,
    /// There are messages that the scan could not see.
    keeps_all: bool,
}

#[derive(Debug)]
enum Chore {
    Remove(u64),
    Punch(u64, Vec<(u64, u64)>),
}

/// The octets an extent takes, with header and padding.
pub(crate) fn span(extent: &Extent) -> (u64, u64) {
    (extent.offset, extent.octets_framed().next_multiple_of(ALIGNMENT))
}

pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.segment"))
}

/// The segment files in `folder` with their length.
pub(crate) fn list(folder: &Path) -> io::Result<BTreeMap<u64, u64>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".segment"));
        if let Some(number) = number.and_then(|it| u64::from_str_radix(it, 16).ok()) {
            found.insert(number, entry.metadata()?.len());
        }
    }
    Ok(found)
}

/// Goes through the frames of a segment file and gives each sound header with its offset.
pub(crate) fn walk(file: &File, octets: u64, each: &mut dyn FnMut(u64, Header)) -> io::Result<()> {
    let (mut offset, mut header) = (0, [0; HEADER_OCTETS]);
    while offset + HEADER_OCTETS as u64 <= octets {
        file.read_exact_at(&mut header, offset)?;
        offset += match Header::decode(&header) {
            Ok(header) => {
                each(offset, header);
                (u64::from(header.octets) + HEADER_OCTETS as u64).next_multiple_of(ALIGNMENT)
            }
            Err(_) => ALIGNMENT,
        };
    }
    Ok(())
}

impl Segments {
    /// Takes over the files in `folder`; nothing of them is reclaimed before the scan at start ends.
    pub(crate) fn open(folder: PathBuf, octets: u64, faults: Faults) -> io::Result<Self> {
        let mut state = State { scan: Some(Scan::default()), ..State::default() };
        for (number, octets) in list(&folder)? {
            let entry = Entry {
                segment: None,
                tail: octets,
                octets,
                live: 0,
                is_old: true,
                dead: Vec::new(),
            };
            state.all.insert(number, entry);
            state.next = number + 1;
        }
        let octets = octets.max(SEGMENT_OCTETS_MIN);
        let (state, creating) = (Mutex::new(state), tokio::sync::Mutex::default());
        Ok(Self { folder, octets, faults, state, creating })
    }

    /// How many files there are.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().all.len()
    }

    /// Gives a place for `octets` in the active segment, beginning a new one if it does not fit.
    pub(crate) async fn allocate(self: &Arc<Self>, octets: u64) -> io::Result<(Arc<Segment>, u64)> {
        let octets = octets.next_multiple_of(ALIGNMENT);
        if let Some(place) = self.state.lock().allocate(octets) {
            return Ok(place);
        }
        let _creating = self.creating.lock().await;
        if let Some(place) = self.state.lock().allocate(octets) {
            return Ok(place);
        }
        let this = Arc::clone(self);
        let segment = tokio::task::spawn_blocking(move || this.create());
        let segment = segment.await.map_err(io::Error::other)??;
        let mut state = self.state.lock();
        state.seal_active();
        let entry = Entry {
            segment: Some(Arc::clone(&segment)),
            tail: octets,
            octets: self.octets,
            live: octets,
            is_old: false,
            dead: Vec::new(),
        };
        state.active = Some(segment.number);
        state.all.insert(segment.number, entry);
        Ok((segment, 0))
    }

    /// Makes a segment file whose blocks and name are on the device.
    fn create(&self) -> io::Result<Arc<Segment>> {
        self.faults.before_write()?;
        let number = {
            let mut state = self.state.lock();
            state.next += 1;
            state.next - 1
        };
        let path = path(&self.folder, number);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let made = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.octets)
            .map_err(io::Error::from)
            .or_else(|error| match error.kind() {
                // Some file systems allocate only what is written.
                io::ErrorKind::Unsupported => file.set_len(self.octets),
                _ => Err(error),
            })
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .and_then(|()| self.faults.after_write());
        if let Err(error) = made {
            // What is left is removed with the empty segments at the next start.
            drop(std::fs::remove_file(&path));
            return Err(error);
        }
        Ok(Segment::new(number, file))
    }

    /// The segment `number`, for reading.
    pub(crate) fn segment(&self, number: u64) -> io::Result<Arc<Segment>> {
        let mut state = self.state.lock();
        let entry = state.all.get_mut(&number).ok_or(io::ErrorKind::NotFound)?;
        if let Some(segment) = &entry.segment {
            return Ok(Arc::clone(segment));
        }
        let file = File::options().read(true).write(true).open(path(&self.folder, number))?;
        Ok(Arc::clone(entry.segment.insert(Segment::new(number, file))))
    }

    /// Never gives out places in `number` again, since a sync of it failed.
    pub(crate) fn abandon(&self, number: u64) {
        let mut state = self.state.lock();
        if state.active == Some(number) {
            state.seal_active();
        }
    }

    /// Gives back the space of extents that nothing refers to any more.
    pub(crate) fn release(&self, extents: &[Extent]) {
        if extents.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        for extent in extents {
            state.release(extent);
        }
    }

    /// Counts extents that the scan at start found.
    pub(crate) fn found(&self, extents: &[Extent]) {
        let mut state = self.state.lock();
        let Some(scan) = &mut state.scan else { return };
        for extent in extents {
            scan.live.entry(extent.segment).or_default().push(span(extent));
        }
    }

    /// The scan at start met messages that it could not see: until a person has looked, no space of then is given
    /// back but that of messages that end.
    pub(crate) fn keep_all(&self) {
        if let Some(scan) = &mut self.state.lock().scan {
            scan.keeps_all = true;
        }
    }

    /// Where in old segments the content of `kept` lies.
    fn places_of(&self, kept: &HashSet<MessageId>) -> Vec<(u64, (u64, u64))> {
        let mut places = Vec::new();
        if kept.is_empty() {
            return places;
        }
        let is_old = |(number, entry): (&u64, &Entry)| entry.is_old.then_some(*number);
        let old: Vec<_> = self.state.lock().all.iter().filter_map(is_old).collect();
        for number in old {
            let mut keep = |offset, header: Header| {
                if kept.contains(&header.id) {
                    let framed = u64::from(header.octets) + HEADER_OCTETS as u64;
                    places.push((number, (offset, framed.next_multiple_of(ALIGNMENT))));
                }
            };
            let walked = File::open(path(&self.folder, number))
                .and_then(|file| walk(&file, file.metadata()?.len(), &mut keep));
            if let Err(error) = walked {
                tracing::warn!(%error, "a segment file could not be looked through");
            }
        }
        places
    }

    /// Ends the scan at start: what was neither found nor belongs to `kept` is given back.
    ///
    /// `kept` are the messages that were set aside: their content stays until a person has looked.
    pub(crate) fn scan_ended(&self, kept: &HashSet<MessageId>) {
        // Files are read before the lock is taken: mail comes in and goes out meanwhile.
        let places = self.places_of(kept);
        let mut state = self.state.lock();
        let Some(mut scan) = state.scan.take() else { return };
        for (number, place) in places {
            scan.live.entry(number).or_default().push(place);
        }
        let mut chores = Vec::new();
        for (number, entry) in state.all.iter_mut().filter(|(_, entry)| entry.is_old) {
            let mut live = scan.live.remove(number).unwrap_or_default();
            if scan.keeps_all {
                live = vec![(0, entry.octets)];
            }
            live.sort_unstable();
            entry.live = live.iter().map(|(_, octets)| octets).sum();
            let gaps = gaps(&live, entry.octets);
            if entry.live == 0 {
                chores.push(Chore::Remove(*number));
            } else if !gaps.is_empty() {
                chores.push(Chore::Punch(*number, gaps));
            }
        }
        state.chores.append(&mut chores);
        for extent in std::mem::take(&mut scan.released) {
            state.release(&extent);
        }
    }

    /// Carries out what is to be done to files; blocks.
    pub(crate) fn do_chores(&self) {
        let chores = std::mem::take(&mut self.state.lock().chores);
        for chore in chores {
            let result = match &chore {
                Chore::Remove(number) => {
                    self.state.lock().all.remove(number);
                    std::fs::remove_file(path(&self.folder, *number))
                }
                Chore::Punch(number, ranges) => self.punch(*number, ranges),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%error, "space of a segment file could not be given back");
                }
                Ok(()) => {}
            }
        }
    }

    fn punch(&self, number: u64, ranges: &[(u64, u64)]) -> io::Result<()> {
        let segment = self.segment(number)?;
        for (offset, octets) in ranges {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match rustix::fs::fallocate(&segment.file, flags, *offset, *octets) {
                Err(rustix::io::Errno::OPNOTSUPP) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl State {
    fn allocate(&mut self, octets: u64) -> Option<(Arc<Segment>, u64)> {
        let entry = self.all.get_mut(&self.active?)?;
        let segment = Arc::clone(entry.segment.as_ref()?);
        let offset = entry.tail;
        if offset + octets > entry.octets {
            return None;
        }
        entry.tail += octets;
        entry.live += octets;
        Some((segment, offset))
    }

    fn seal_active(&mut self) {
        let Some(number) = self.active.take() else { return };
        let Some(entry) = self.all.get_mut(&number) else { return };
        if entry.live == 0 {
            self.chores.push(Chore::Remove(number));
            return;
        }
        let mut dead = std::mem::take(&mut entry.dead);
        if entry.tail < entry.octets {
            dead.push((entry.tail, entry.octets - entry.tail));
        }
        if !dead.is_empty() {
            self.chores.push(Chore::Punch(number, dead));
        }
    }

    fn release(&mut self, extent: &Extent) {
        let (offset, octets) = span(extent);
        let is_active = self.active == Some(extent.segment);
        let Some(entry) = self.all.get_mut(&extent.segment) else { return };
        if let Some(scan) = self.scan.as_mut().filter(|_| entry.is_old) {
            // What lives there is known when the scan has ended.
            scan.released.push(*extent);
            return;
        }
        entry.live = entry.live.saturating_sub(octets);
        if is_active {
            entry.dead.push((offset, octets));
        } else if entry.live == 0 {
            self.chores.push(Chore::Remove(extent.segment));
        } else {
            self.chores.push(Chore::Punch(extent.segment, vec![(offset, octets)]));
        }
    }
}

/// The ranges of `0..octets` that no range of `live` covers.
fn gaps(live: &[(u64, u64)], octets: u64) -> Vec<(u64, u64)> {
    let (mut gaps, mut end) = (Vec::new(), 0);
    for (offset, length) in live {
        if *offset > end {
            gaps.push((end, offset - end));
        }
        end = end.max(offset + length);
    }
    if end < octets {
        gaps.push((end, octets - end));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;
    use crate::config::BodyIo;

    fn segments(folder: &Path) -> Segments {
        Segments::open(folder.to_owned(), SEGMENT_OCTETS_MIN, Faults::default()).unwrap()
    }

    /// The system tells of a write that was lost once; if that one call was not waited for, the next one must not
    /// pass for a yes.
    #[tokio::test]
    async fn a_sync_that_nobody_waited_for_condemns_the_segment() {
        let (lane, _threads) = Lane::start(BodyIo::Threads, Faults::default()).unwrap();
        let segment = Segment::new(0, tempfile::tempfile().unwrap());
        segment.sync(&lane).await.unwrap();
        // Now and then the device is faster than the look.
        let is_done = || {
            let mut context = Context::from_waker(Waker::noop());
            pin!(segment.sync(&lane)).poll(&mut context).is_ready()
        };
        while is_done() {}
        segment.sync(&lane).await.unwrap_err();
    }

    #[test]
    fn looking_through_files_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        // A file that takes long to read.
        let file = path(folder.path(), 0);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let segments = Arc::new(segments(folder.path()));
        let (counted, count) = std::sync::mpsc::sync_channel(1);
        let scan = {
            let (segments, kept) = (Arc::clone(&segments), HashSet::from([MessageId::new(1, 1)]));
            std::thread::spawn(move || segments.scan_ended(&kept))
        };
        let others = std::thread::spawn(move || {
            // Long enough for the scan to have come to the file.
            let counts = (0..100_000).map(|_| segments.count());
            counted.send(counts.max()).unwrap();
        });
        let in_time = count.recv_timeout(Duration::from_secs(5)).is_ok();
        // Lets the scan go on.
        drop(File::options().write(true).open(&file).unwrap());
        scan.join().unwrap();
        others.join().unwrap();
        assert!(in_time, "the lock was held while a file was read");
    }

    #[test]
    fn what_the_scan_could_not_see_keeps_its_place() {
        for keeps_all in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let file = path(folder.path(), 0);
            std::fs::write(&file, vec![7; 1 << 16]).unwrap();
            let segments = segments(folder.path());
            if keeps_all {
                segments.keep_all();
            }
            segments.scan_ended(&HashSet::new());
            segments.do_chores();
            assert_eq!(file.exists(), keeps_all);
        }
    }
}
