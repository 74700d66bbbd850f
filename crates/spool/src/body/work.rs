//! What is asked of the threads that read and write content.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

/// One operation on a file. Buffers belong to the lane until the answer.
#[derive(Debug)]
pub(crate) enum Operation {
    Write { offset: u64, buffer: Bytes },
    Read { offset: u64, octets: usize },
    Sync,
}

/// An operation and who waits for it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) file: Arc<File>,
    pub(crate) operation: Operation,
    pub(crate) done: oneshot::Sender<io::Result<Bytes>>,
}
