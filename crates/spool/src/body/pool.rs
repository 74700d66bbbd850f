//! Content input and output on a few threads, for kernels that refuse `io_uring`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::body::work::{Operation, Work};

const THREADS: usize = 4;

/// Starts the threads; they end when every sender is gone.
pub(super) fn start(receiver: channel::Receiver<Work>) -> io::Result<Vec<JoinHandle<()>>> {
    let receiver = Arc::new(Mutex::new(receiver));
    (0..THREADS)
        .map(|_| {
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new().name("spool-body".into()).spawn(move || work(&receiver))
        })
        .collect()
}

fn work(receiver: &Mutex<channel::Receiver<Work>>) {
    loop {
        // One thread waits for the next operation, the others for the lock.
        let next = receiver.lock().recv_blocking();
        let Ok(Work { file, operation, done }) = next else { return };
        let _is_waited_for = done.send(carry_out(&file, operation)).is_ok();
    }
}

fn carry_out(file: &File, operation: Operation) -> io::Result<Bytes> {
    match operation {
        Operation::Write { offset, buffer } => file.write_all_at(&buffer, offset)?,
        Operation::Read { offset, octets } => {
            let mut buffer = vec![0; octets];
            file.read_exact_at(&mut buffer, offset)?;
            return Ok(buffer.into());
        }
        Operation::Sync => file.sync_data()?,
    }
    Ok(Bytes::new())
}
