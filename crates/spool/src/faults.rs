//! Faults on demand, so that tests can see what a failing device does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

/// Makes chosen writes fail; without orders it lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Orders>);

#[derive(Debug, Default)]
struct Orders {
    /// Points passed since the last order; each write has one before and one after it.
    passed: AtomicU64,
    /// The point that fails; 0 is none.
    fails_at: AtomicU64,
    then_fills: AtomicBool,
    is_full: AtomicBool,
    panics: AtomicBool,
    is_held: Mutex<bool>,
    released: Condvar,
}

impl Faults {
    /// Lets the `n`-th point from now fail, once. Odd points fail before the write is done, even ones
    /// after it is done, as a device does that loses the answer.
    pub fn fail_nth(&self, n: u64) {
        self.0.passed.store(0, Ordering::SeqCst);
        self.0.fails_at.store(n, Ordering::SeqCst);
    }

    /// As [`Self::fail_nth`], and from then on the device is full.
    pub fn fail_nth_and_fill(&self, n: u64) {
        self.0.then_fills.store(true, Ordering::SeqCst);
        self.fail_nth(n);
    }

    /// Whether the point ordered last has been reached.
    pub fn has_failed(&self) -> bool {
        self.0.fails_at.load(Ordering::SeqCst) == 0
    }

    /// Makes every write fail for lack of space.
    pub fn fill(&self) {
        self.0.is_full.store(true, Ordering::SeqCst);
    }

    /// Gives the space back.
    pub fn empty(&self) {
        self.0.is_full.store(false, Ordering::SeqCst);
    }

    /// Makes writes to the database wait until they are let go.
    pub fn hold(&self) {
        *self.0.is_held.lock() = true;
    }

    /// Makes the thread panic that does the next write.
    pub fn panic_next(&self) {
        self.0.panics.store(true, Ordering::SeqCst);
    }

    /// Lets held writes go.
    pub fn release(&self) {
        *self.0.is_held.lock() = false;
        self.0.released.notify_all();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full.load(Ordering::SeqCst)
    }

    /// Blocks while writes to the database are held.
    pub(crate) fn wait_released(&self) {
        let mut is_held = self.0.is_held.lock();
        while *is_held {
            self.0.released.wait(&mut is_held);
        }
    }

    /// Passed before a write is done.
    pub(crate) fn before_write(&self) -> io::Result<()> {
        if self.0.panics.swap(false, Ordering::SeqCst) {
            // Without the words of a real one.
            std::panic::resume_unwind(Box::new(()));
        }
        if self.is_full() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.pass()
    }

    /// Passed when a write is done and its answer comes back.
    pub(crate) fn after_write(&self) -> io::Result<()> {
        self.pass()
    }

    fn pass(&self) -> io::Result<()> {
        let point = self.0.passed.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = self.0.fails_at.compare_exchange(point, 0, Ordering::SeqCst, Ordering::SeqCst);
        if fails.is_err() {
            return Ok(());
        }
        if self.0.then_fills.swap(false, Ordering::SeqCst) {
            self.fill();
        }
        Err(io::Error::other("an injected fault"))
    }
}
