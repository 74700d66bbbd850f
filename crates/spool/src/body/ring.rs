//! Content input and output through one `io_uring` on its own thread.
//!
//! The thread makes the ring, is the only one to touch it, and owns file and buffer of every
//! operation from the moment it is queued until the kernel has answered.
#![expect(unsafe_code, reason = "an io_uring takes pointers to the buffers it works on")]

use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use bytes::Bytes;
use io_uring::{IoUring, Probe, opcode, squeue, types};

use crate::body::work::{Operation, Work};

/// Operations under way at once, and one for the bell.
const UNDER_WAY_MAX: usize = 64;
const ENTRIES: u32 = 128;
/// The name of the read of the bell; operations count up from 1.
const BELL: u64 = 0;

/// Starts the thread, or says why the kernel refuses.
pub(super) fn start(receiver: channel::Receiver<Work>) -> io::Result<JoinHandle<()>> {
    let (report, reported) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("spool-ring".into()).spawn(move || {
        // Made here, since with a single issuer the thread that makes a ring must be the one to use it.
        match Lane::new(receiver) {
            Ok(mut lane) => {
                if report.send(Ok(())).is_ok() {
                    lane.run();
                }
            }
            Err(error) => drop(report.send(Err(error))),
        }
    })?;
    reported.recv().map_err(io::Error::other)??;
    Ok(thread)
}

/// Rings when work arrives while the thread waits in the kernel: a pipe that the ring reads.
struct Bell {
    writer: PipeWriter,
    /// Whether an octet is in the pipe, so that there is never more than one and no write blocks.
    is_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            // Fails only when the reading end, and so the thread, is gone.
            let _is_heard = (&self.writer).write(&[1]).is_ok();
        }
    }
}

/// An operation that the kernel works on, with its buffer.
struct UnderWay {
    work: Work,
    /// What a read fills; empty for others.
    buffer: Vec<u8>,
    /// Octets done so far: the kernel may do less than asked.
    done: usize,
}

struct Lane {
    ring: IoUring,
    receiver: channel::Receiver<Work>,
    bell: Arc<Bell>,
    bell_reader: PipeReader,
    bell_octet: Box<[u8; 1]>,
    under_way: HashMap<u64, UnderWay>,
    last_name: u64,
    is_closed: bool,
}

impl Lane {
    fn new(receiver: channel::Receiver<Work>) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .build(ENTRIES)
            .or_else(|_| IoUring::new(ENTRIES))?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        let (bell_reader, writer) = io::pipe()?;
        Ok(Self {
            ring,
            receiver,
            bell: Arc::new(Bell { writer, is_rung: AtomicBool::new(false) }),
            bell_reader,
            bell_octet: Box::new([0]),
            under_way: HashMap::with_capacity(UNDER_WAY_MAX),
            last_name: BELL,
            is_closed: false,
        })
    }

    fn run(&mut self) {
        self.listen();
        let waker = Waker::from(Arc::clone(&self.bell));
        loop {
            self.begin_waiting(&mut Context::from_waker(&waker));
            if self.is_closed && self.under_way.is_empty() {
                return;
            }
            match self.ring.submit_and_wait(1) {
                Err(error) if !is_passing(&error) => return self.give_up(&error),
                Ok(_) | Err(_) => self.reap(),
            }
        }
    }

    /// Takes operations until none waits or the ring is busy enough.
    fn begin_waiting(&mut self, context: &mut Context<'_>) {
        while !self.is_closed && self.under_way.len() < UNDER_WAY_MAX {
            match self.receiver.poll_recv(context) {
                Poll::Ready(Ok(work)) => {
                    let octets = match work.operation {
                        Operation::Read { octets, .. } => octets,
                        Operation::Write { .. } | Operation::Sync => 0,
                    };
                    self.last_name += 1;
                    let under_way = UnderWay { work, buffer: vec![0; octets], done: 0 };
                    self.submit(self.last_name, under_way);
                }
                Poll::Ready(Err(channel::Closed)) => self.is_closed = true,
                Poll::Pending => return,
            }
        }
    }

    /// Queues the part of an operation that is still to be done.
    fn submit(&mut self, name: u64, mut it: UnderWay) {
        let file = types::Fd(it.work.file.as_raw_fd());
        let entry = match &it.work.operation {
            Operation::Write { offset, buffer } => {
                let rest = buffer.get(it.done..).unwrap_or_default();
                opcode::Write::new(file, rest.as_ptr(), length(rest))
                    .offset(*offset + it.done as u64)
                    .build()
            }
            Operation::Read { offset, .. } => {
                let offset = *offset + it.done as u64;
                let rest = it.buffer.get_mut(it.done..).unwrap_or_default();
                opcode::Read::new(file, rest.as_mut_ptr(), length(rest)).offset(offset).build()
            }
            Operation::Sync => opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC).build(),
        };
        self.under_way.insert(name, it);
        self.push(&entry.user_data(name));
    }

    /// Lets the ring read the bell.
    fn listen(&mut self) {
        let file: RawFd = self.bell_reader.as_raw_fd();
        let octet = self.bell_octet.as_mut_ptr();
        self.push(&opcode::Read::new(types::Fd(file), octet, 1).build().user_data(BELL));
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: file and buffer named by the entry are owned by `under_way` (or, for the bell, by
        // `self`) and stay where they are until `reap` sees the answer: a `Bytes` and a `Vec` keep
        // their heap block when moved, and `give_up` and `drop` leak what the kernel still holds.
        let is_queued = unsafe { self.ring.submission().push(entry) };
        // There are more entries than operations under way, so there is always room.
        debug_assert!(is_queued.is_ok(), "the submission queue has room");
    }

    fn reap(&mut self) {
        let answers: Vec<_> =
            self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (name, result) in answers {
            if name == BELL {
                self.bell.is_rung.store(false, Ordering::SeqCst);
                self.listen();
            } else if let Some(it) = self.under_way.remove(&name) {
                self.answered(name, it, result);
            }
        }
    }

    fn answered(&mut self, name: u64, mut it: UnderWay, result: i32) {
        let Ok(octets) = usize::try_from(result) else {
            let error = io::Error::from_raw_os_error(-result);
            if is_passing(&error) {
                return self.submit(name, it);
            }
            return answer(it.work, Err(error));
        };
        it.done += octets;
        let (wanted, is_read) = match &it.work.operation {
            Operation::Write { buffer, .. } => (buffer.len(), false),
            Operation::Read { octets, .. } => (*octets, true),
            Operation::Sync => (0, false),
        };
        if it.done < wanted && octets > 0 {
            return self.submit(name, it);
        }
        let result = match it.done < wanted {
            true if is_read => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            true => Err(io::Error::from(io::ErrorKind::WriteZero)),
            false => Ok(Bytes::from(it.buffer)),
        };
        answer(it.work, result);
    }

    /// The ring is of no use any more: everybody who waits hears it, later callers find the lane gone.
    fn give_up(&mut self, error: &io::Error) {
        tracing::error!(%error, "the ring for content failed");
        for (_, it) in self.under_way.drain() {
            let UnderWay { work: Work { file, operation, done }, buffer, .. } = it;
            // The kernel may still work on these.
            std::mem::forget((file, operation, buffer));
            let _is_waited_for = done.send(Err(io::Error::from(error.kind()))).is_ok();
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // After a panic; in good order nothing is under way. The bell's octet is leaked in any case:
        // its read is only withdrawn when the ring is closed, some time after this.
        self.under_way.drain().for_each(std::mem::forget);
        std::mem::forget(std::mem::take(&mut self.bell_octet));
    }
}

fn answer(work: Work, result: io::Result<Bytes>) {
    let _is_waited_for = work.done.send(result).is_ok();
}

/// Buffers are at most some 256 KiB.
fn length(buffer: &[u8]) -> u32 {
    u32::try_from(buffer.len()).unwrap_or(u32::MAX)
}

/// Whether the same call will do a moment later.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
        || error.kind() == io::ErrorKind::ResourceBusy
}
