//! Lines of the log, written many at a time by a thread of their own.
//!
//! A write for each line costs a busy relay several system calls a message, and a library's channel to
//! a writing thread costs a wake-up a line, which is no less. Here the first line wakes the thread, which lets more
//! gather for a moment.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather. What is said this long before a kill may be missing from the log.
const GATHER_WAIT: Duration = Duration::from_millis(20);
/// Lines that wait in memory, in octets. Beyond it whoever says something waits for the device: nothing is left out.
const WAITING_OCTETS_MAX: usize = 1 << 20;

/// The lines that wait, and who waits for them.
#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<State>,
    /// There is a first line, or the end.
    first: Condvar,
    /// The lines were taken.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    octets: Vec<u8>,
    is_ending: bool,
}

/// The thread. Dropped, it writes what is left and ends.
#[must_use]
#[derive(Debug)]
pub(crate) struct Gathering {
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

/// Where lines are put.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Waiting>);

impl Gathering {
    /// Begins to write to `out`.
    pub(crate) fn start(out: Box<dyn Write + Send>) -> io::Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let writing = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || write(&writing, out))?;
        Ok(Self { waiting, thread: Some(thread) })
    }

    pub(crate) fn lines(&self) -> Lines {
        Lines(Arc::clone(&self.waiting))
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.waiting.lines.lock().is_ending = true;
        self.waiting.first.notify_one();
        if let Some(thread) = self.thread.take() {
            // Nobody to tell if it broke.
            thread.join().ok();
        }
    }
}

fn write(waiting: &Waiting, mut out: Box<dyn Write + Send>) {
    let mut octets = Vec::new();
    loop {
        let mut state = waiting.lines.lock();
        if state.octets.is_empty() && !state.is_ending {
            waiting.first.wait(&mut state);
        }
        if !state.is_ending {
            // Ends early if the relay does, or if lines come faster than expected.
            waiting.first.wait_for(&mut state, GATHER_WAIT);
        }
        mem::swap(&mut state.octets, &mut octets);
        let is_ending = state.is_ending && octets.is_empty();
        drop(state);
        waiting.taken.notify_all();
        if is_ending {
            return;
        }
        // A log that cannot be written must not stop mail.
        out.write_all(&octets).and_then(|()| out.flush()).ok();
        octets.clear();
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lines.lock();
        while state.octets.len() >= WAITING_OCTETS_MAX && !state.is_ending {
            self.0.taken.wait(&mut state);
        }
        let is_first = state.octets.is_empty();
        state.octets.extend_from_slice(line);
        let is_many = state.octets.len() >= WAITING_OCTETS_MAX;
        drop(state);
        if is_first || is_many {
            self.0.first.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_once_and_in_order_although_memory_is_short() {
        let device = Slow::default();
        let gathering = Gathering::start(Box::new(device.clone())).unwrap();
        let say = |name: u8| {
            let lines = gathering.lines();
            move || {
                for count in 0..200 {
                    let line = format!("{name} {count} {}\n", "x".repeat(8_000));
                    (&lines).write_all(line.as_bytes()).unwrap();
                }
            }
        };
        let threads: Vec<_> = (0..3).map(|name| thread::spawn(say(name))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        drop(gathering);
        let written = String::from_utf8(device.0.lock().clone()).unwrap();
        for name in 0..3 {
            let start = format!("{name} ");
            let counts: Vec<usize> = written
                .lines()
                .filter_map(|line| line.strip_prefix(&start)?.split_once(' ')?.0.parse().ok())
                .collect();
            assert!(counts.iter().copied().eq(0..200), "{counts:?}");
        }
    }
}
