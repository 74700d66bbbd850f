//! What a run cost: the relay's processes, and the machine around them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde::Serialize;
use units::Clock;

use crate::machine::{self, Times};
use crate::process::{Depth, MemoryMeasure, Table, Tree, Usage};

/// What the relay's processes used during a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) cpu_user_seconds: f64,
    pub(crate) cpu_system_seconds: f64,
    pub(crate) memory_peak_octets: u64,
    pub(crate) memory_measure: MemoryMeasure,
    /// None where the kernel does not let us read it.
    pub(crate) written_octets: Option<u64>,
    /// At least so many: threads that ended between two looks are missing.
    pub(crate) context_switches: u64,
    pub(crate) processes_max: usize,
    /// Whether its main process ended before the run did.
    pub(crate) ended_early: bool,
    pub(crate) memory: Vec<MemorySample>,
}

impl Cost {
    /// Processor time of both kinds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.cpu_user_seconds + self.cpu_system_seconds
    }
}

/// Memory at one time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct MemorySample {
    /// Milliseconds since the start of the run.
    pub(crate) at_ms: u64,
    pub(crate) octets: u64,
}

/// How the machine's processors were shared out during a run; all shares are of all processors together.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Surroundings {
    pub(crate) seconds: f64,
    /// Source and sink.
    pub(crate) load_share: f64,
    /// None where the relay's processes are not known.
    pub(crate) relay_share: Option<f64>,
    /// The kernel's own threads, which write out what processes left in memory.
    pub(crate) kernel_share: f64,
    /// Everybody else, and what the machine below took away; none where the relay's processes are not known.
    pub(crate) others_share: Option<f64>,
    pub(crate) idle_share: f64,
    /// Octets written to the folder's device, by anybody; none where there is no folder or no count.
    pub(crate) device_written_octets: Option<u64>,
}

/// Above this share of others a run is noisy.
pub(crate) const OTHERS_SHARE_MAX: f64 = 0.10;

impl Surroundings {
    /// Whether others used so much of the machine that the figures are not worth quoting.
    pub(crate) fn is_noisy(&self) -> bool {
        self.others_share.is_some_and(|share| share > OTHERS_SHARE_MAX)
    }
}

/// Whose processes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relay {
    /// There is none: the source talks to the sink.
    None,
    /// Its processes are not known, so its share is not told from that of others.
    Unknown,
    /// It runs on another machine or is the process with this number, with its descendants.
    Process(i32),
}

/// Looks at the relay and the machine from the start of a run to its end, in a thread of its own.
#[derive(Debug)]
pub(crate) struct Meter {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Measured>>,
}

/// Both halves of what a meter saw; no cost where the relay's processes are not known.
pub(crate) type Measured = (Option<Cost>, Surroundings);

impl Meter {
    /// Begins now; `folder` is where the relay keeps its mail.
    pub(crate) fn start(
        relay: Relay,
        folder: Option<&Path>,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let looks = Looks::begin(relay, folder.map(Path::to_owned), clock.clone())?;
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let thread = std::thread::Builder::new()
            .name("meter".to_owned())
            .spawn(move || looks.until(&stop))
            .context("no thread could be started")?;
        Ok(Self { is_over, thread })
    }

    /// Ends now and says what was seen.
    pub(crate) fn finish(self) -> anyhow::Result<Measured> {
        self.is_over.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| anyhow!("the thread that measures has failed"))?
    }
}

/// Looks are this far apart at least.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Looks may take one part in so many of one processor.
const PAUSE_FACTOR: u32 = 25;
/// Written octets and switches are read this often.
const DEEP_PAUSE: Duration = Duration::from_secs(1);

struct Looks {
    clock: Clock,
    began_at: Instant,
    relay: Relay,
    folder: Option<PathBuf>,
    tree: Option<Tree>,
    first: Moment,
    first_usage: Usage,
    memory: Vec<MemorySample>,
    processes_max: usize,
    ended_early: bool,
}

/// What is compared between the start and the end.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    times: Times,
    own_ticks: u64,
    /// Of all programs.
    all_ticks: u64,
    kernel_ticks: u64,
    device_written: Option<u64>,
}

impl Moment {
    fn read(table: &Table, folder: Option<&Path>) -> anyhow::Result<Self> {
        let own = i32::try_from(std::process::id()).context("our own number is too large")?;
        Ok(Self {
            times: Times::read()?,
            own_ticks: table.own_ticks(own),
            all_ticks: table.all_ticks(),
            kernel_ticks: table.kernel_ticks(),
            device_written: folder.and_then(machine::device_written_octets),
        })
    }
}

impl Looks {
    fn begin(relay: Relay, folder: Option<PathBuf>, clock: Clock) -> anyhow::Result<Self> {
        let table = Table::read()?;
        let tree = match relay {
            Relay::Process(pid) => Some(Tree::new(pid, &table)?),
            Relay::None | Relay::Unknown => None,
        };
        let mut looks = Self {
            began_at: clock.now(),
            first: Moment::read(&table, folder.as_deref())?,
            first_usage: tree.as_ref().map(Tree::usage).unwrap_or_default(),
            clock,
            relay,
            folder,
            tree,
            memory: Vec::new(),
            processes_max: 0,
            ended_early: false,
        };
        looks.look(&table, Depth::Times);
        Ok(looks)
    }

    fn until(mut self, is_over: &AtomicBool) -> anyhow::Result<Measured> {
        let mut deep_at = self.began_at;
        let mut used_before = own_thread_time();
        loop {
            let began_at = self.clock.now();
            if is_over.load(Ordering::Acquire) {
                return self.end();
            }
            let is_deep = began_at.duration_since(deep_at) >= DEEP_PAUSE;
            if self.tree.is_some() {
                self.look(&Table::read()?, if is_deep { Depth::Everything } else { Depth::Times });
            }
            if is_deep {
                deep_at = began_at;
            }
            let used = own_thread_time();
            std::thread::park_timeout(
                PAUSE_MIN.max(used.saturating_sub(used_before) * PAUSE_FACTOR),
            );
            used_before = used;
        }
    }

    fn look(&mut self, table: &Table, depth: Depth) {
        let Some(tree) = &mut self.tree else { return };
        tree.look(table, depth);
        let since = self.clock.now().duration_since(self.began_at);
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.memory.push(MemorySample { at_ms, octets: tree.memory(table) });
        self.processes_max = self.processes_max.max(tree.len());
        self.ended_early = !tree.lives(table);
    }

    fn end(mut self) -> anyhow::Result<Measured> {
        let seconds = self.clock.now().duration_since(self.began_at).as_secs_f64();
        let table = Table::read()?;
        let last = Moment::read(&table, self.folder.as_deref())?;
        self.look(&table, Depth::Everything);
        let used = self.tree.as_ref().map(|tree| tree.usage().since(self.first_usage));
        let shared = self.surroundings(seconds, last, used.map_or(0, Usage::ticks));
        let cost = self.tree.as_ref().zip(used).map(|(tree, used)| Cost {
            cpu_user_seconds: tick_seconds(used.user_ticks),
            cpu_system_seconds: tick_seconds(used.system_ticks),
            memory_peak_octets: self.memory.iter().map(|one| one.octets).max().unwrap_or_default(),
            memory_measure: tree.measure(),
            written_octets: tree.can_read_written().then_some(used.written_octets),
            context_switches: used.switches,
            processes_max: self.processes_max,
            ended_early: self.ended_early,
            memory: self.memory.clone(),
        });
        Ok((cost, shared))
    }

    fn surroundings(&self, seconds: f64, last: Moment, relay_ticks: u64) -> Surroundings {
        let times = last.times.since(self.first.times);
        let share = |ticks: u64| ratio(ticks, times.total());
        let own = last.own_ticks.saturating_sub(self.first.own_ticks);
        let threads = last.kernel_ticks.saturating_sub(self.first.kernel_ticks);
        let all = last.all_ticks.saturating_sub(self.first.all_ticks);
        // Two counts that both fall short: the first where interrupts are counted as time of programs, the second
        // where a program ended and nobody waited for it.
        let by_machine = times.busy.saturating_sub(own + threads + relay_ticks);
        let by_programs = all.saturating_sub(own + relay_ticks);
        let others = by_machine.max(by_programs) + times.stolen;
        let is_known = self.relay != Relay::Unknown;
        Surroundings {
            seconds,
            load_share: share(own),
            relay_share: is_known.then(|| share(relay_ticks)),
            kernel_share: share(threads),
            others_share: is_known.then(|| share(others)),
            idle_share: share(times.idle),
            device_written_octets: last
                .device_written
                .zip(self.first.device_written)
                .map(|(last, first)| last.saturating_sub(first)),
        }
    }
}

/// Processor time of the thread that asks; nothing where the kernel does not count it.
fn own_thread_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn tick_seconds(ticks: u64) -> f64 {
    ratio(ticks, procfs::ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(relay: Relay) -> Looks {
        Looks::begin(relay, None, Clock::system()).unwrap()
    }

    fn moment(busy: u64, stolen: u64, own: u64, kernel: u64) -> Moment {
        let idle = 1000 - busy - stolen;
        Moment {
            times: Times { busy, stolen, idle, interrupts: 0 },
            own_ticks: own,
            all_ticks: 0,
            kernel_ticks: kernel,
            device_written: None,
        }
    }

    #[track_caller]
    fn check(last: Moment, relay_ticks: u64, (want_others, want_noisy): (f64, bool)) {
        let mut looks = looks(Relay::None);
        looks.first = Moment::default();
        let seen = looks.surroundings(5.0, last, relay_ticks);
        let others = seen.others_share.unwrap();
        assert!((others - want_others).abs() < 1e-9, "{seen:?}");
        assert_eq!(seen.is_noisy(), want_noisy, "{seen:?}");
    }

    #[test]
    fn others_are_who_is_neither_load_nor_relay_nor_kernel() {
        check(moment(900, 0, 500, 50), 350, (0.0, false));
        check(moment(900, 0, 500, 50), 250, (0.1, false));
        check(moment(900, 0, 500, 50), 249, (0.101, true));
        // What the machine below took away was not there for the run either.
        check(moment(700, 200, 500, 0), 200, (0.2, true));
        // Here interrupts were counted as time of programs, so that all programs have more than the machine was busy.
        let programs = Moment { all_ticks: 930, ..moment(700, 0, 500, 0) };
        check(programs, 280, (0.15, true));
        // Clock ticks are coarse: more than all is no debt.
        check(moment(100, 0, 80, 0), 40, (0.0, false));
    }

    #[test]
    fn without_the_relays_processes_nothing_is_said_of_others() {
        let mut looks = looks(Relay::Unknown);
        looks.first = Moment::default();
        let seen = looks.surroundings(5.0, moment(900, 0, 100, 0), 0);
        assert!(seen.others_share.is_none() && seen.relay_share.is_none() && !seen.is_noisy());
    }

    #[test]
    fn a_meter_measures_from_start_to_end() {
        let own = i32::try_from(std::process::id()).unwrap();
        let meter = Meter::start(Relay::Process(own), None, &Clock::system()).unwrap();
        let (cost, seen) = meter.finish().unwrap();
        let cost = cost.unwrap();
        assert!(cost.memory_peak_octets > 0 && cost.processes_max >= 1 && !cost.ended_early);
        assert!(cost.memory.len() >= 2, "one at the start, one at the end");
        assert!(seen.seconds > 0.0 && seen.device_written_octets.is_none());
    }
}
