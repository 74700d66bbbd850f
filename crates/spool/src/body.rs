//! How content gets to segment files and back: reads, writes and syncs handed to one thread with a
//! ring, or to a few threads without.

mod pool;
mod ring;
mod work;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::body::work::{Operation, Work};
use crate::config::BodyIo;
use crate::error::OpenError;
use crate::faults::Faults;

/// What carries out the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyIoKind {
    /// One `io_uring` on its own thread.
    IoUring,
    /// A small pool of threads.
    Threads,
}

impl std::fmt::Display for BodyIoKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::IoUring => "io-uring",
            Self::Threads => "threads",
        })
    }
}

/// Operations that wait to be begun; beyond it the sender waits.
const WAITING_MAX: usize = 1024;

/// The way to the segment files. Cheap to clone; the last one dropped ends the threads.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    kind: BodyIoKind,
    sender: channel::Sender<Work>,
    faults: Faults,
}

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Pending {
    done: oneshot::Receiver<io::Result<Bytes>>,
    faults: Option<Faults>,
}

impl Lane {
    /// Starts what `wanted` asks for.
    pub(crate) fn start(
        wanted: BodyIo,
        faults: Faults,
    ) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let lane = |kind, sender| Self { kind, sender, faults };
        if wanted != BodyIo::Threads {
            let (sender, receiver) = channel::bounded(WAITING_MAX);
            match ring::start(receiver) {
                Ok(thread) => return Ok((lane(BodyIoKind::IoUring, sender), vec![thread])),
                Err(error) if wanted == BodyIo::IoUring => return Err(OpenError::IoUring(error)),
                Err(error) => {
                    tracing::info!(%error, "the kernel refuses io_uring, threads are used");
                }
            }
        }
        let (sender, receiver) = channel::bounded(WAITING_MAX);
        let threads = pool::start(receiver).map_err(OpenError::Thread)?;
        Ok((lane(BodyIoKind::Threads, sender), threads))
    }

    pub(crate) const fn kind(&self) -> BodyIoKind {
        self.kind
    }

    /// Begins a write of the whole buffer.
    pub(crate) async fn write(
        &self,
        file: &Arc<File>,
        offset: u64,
        buffer: Bytes,
    ) -> io::Result<Pending> {
        self.faults.before_write()?;
        let done = self.begin(file, Operation::Write { offset, buffer }).await?;
        Ok(Pending { done, faults: Some(self.faults.clone()) })
    }

    /// Puts the file's content and length on the device.
    pub(crate) async fn sync(&self, file: &Arc<File>) -> io::Result<()> {
        self.faults.before_write()?;
        let done = self.begin(file, Operation::Sync).await?;
        Pending { done, faults: Some(self.faults.clone()) }.wait().await.map(drop)
    }

    /// Reads exactly `octets`, or fails with `UnexpectedEof`.
    pub(crate) async fn read(
        &self,
        file: &Arc<File>,
        offset: u64,
        octets: usize,
    ) -> io::Result<Bytes> {
        let done = self.begin(file, Operation::Read { offset, octets }).await?;
        Pending { done, faults: None }.wait().await
    }

    async fn begin(
        &self,
        file: &Arc<File>,
        operation: Operation,
    ) -> io::Result<oneshot::Receiver<io::Result<Bytes>>> {
        let (done, answer) = oneshot::channel();
        let work = Work { file: Arc::clone(file), operation, done };
        self.sender.send(work).await.map_err(|_| gone())?;
        Ok(answer)
    }
}

impl Pending {
    /// The answer.
    pub(crate) async fn wait(self) -> io::Result<Bytes> {
        let octets = self.done.await.map_err(|_| gone())??;
        self.faults.map_or(Ok(()), |faults| faults.after_write())?;
        Ok(octets)
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes content has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same operations give the same answers, whatever carries them out.
    async fn check(wanted: BodyIo, kind: BodyIoKind) {
        let (lane, threads) = Lane::start(wanted, Faults::default()).unwrap();
        assert_eq!(lane.kind(), kind);
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut pending = Vec::new();
        for index in 0..200_u64 {
            let buffer = Bytes::from(vec![u8::try_from(index).unwrap(); 10_000]);
            pending.push(lane.write(&file, index * 10_000, buffer).await.unwrap());
        }
        for pending in pending {
            pending.wait().await.unwrap();
        }
        lane.sync(&file).await.unwrap();
        for index in 0..200_u64 {
            let octets = lane.read(&file, index * 10_000, 10_000).await.unwrap();
            assert_eq!(octets, vec![u8::try_from(index).unwrap(); 10_000]);
        }
        let error = lane.read(&file, 1_999_999, 2).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let folder = Arc::new(File::open("/").unwrap());
        assert!(lane.read(&folder, 0, 1).await.is_err());
        drop(lane);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[tokio::test]
    async fn threads_write_and_read() {
        check(BodyIo::Threads, BodyIoKind::Threads).await;
    }

    #[tokio::test]
    async fn a_ring_writes_and_reads() {
        match Lane::start(BodyIo::IoUring, Faults::default()) {
            Ok(_) => check(BodyIo::IoUring, BodyIoKind::IoUring).await,
            // Where the kernel refuses, `auto` must still work.
            Err(_) => check(BodyIo::Auto, BodyIoKind::Threads).await,
        }
    }

    /// Answers nobody waits for do no harm.
    #[tokio::test]
    async fn a_waiter_may_go() {
        for wanted in [BodyIo::Auto, BodyIo::Threads] {
            let (lane, threads) = Lane::start(wanted, Faults::default()).unwrap();
            let file = Arc::new(tempfile::tempfile().unwrap());
            drop(lane.write(&file, 0, Bytes::from(vec![1; 1 << 18])).await.unwrap());
            drop(lane);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(file.metadata().unwrap().len(), 1 << 18);
        }
    }
}
