//! What a process and all its descendants used, from `/proc`.
//!
//! Times and written octets of a child that ended are in the figures of its parent once that has waited for it, so two
//! looks at the living give the sum of all. A child whose parent left the tree counts with what was last seen of it.

use std::collections::BTreeMap;

use anyhow::Context;
use procfs::process::{Process, Stat, all_processes};

/// What processes used since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Clock ticks in the programs themselves.
    pub(crate) user_ticks: u64,
    /// Clock ticks in the kernel on their behalf.
    pub(crate) system_ticks: u64,
    /// Octets that they caused to be written to devices.
    pub(crate) written_octets: u64,
    /// Times that a thread gave up a processor or lost it; threads that ended between looks are missing.
    pub(crate) switches: u64,
}

impl Usage {
    fn plus(self, other: Self) -> Self {
        Self {
            user_ticks: self.user_ticks + other.user_ticks,
            system_ticks: self.system_ticks + other.system_ticks,
            written_octets: self.written_octets + other.written_octets,
            switches: self.switches + other.switches,
        }
    }

    /// What came since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
            written_octets: self.written_octets.saturating_sub(earlier.written_octets),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }

    /// Clock ticks of both kinds.
    pub(crate) fn ticks(self) -> u64 {
        self.user_ticks + self.system_ticks
    }
}

/// All processes of the machine at one time.
#[derive(Debug)]
pub(crate) struct Table(BTreeMap<i32, Stat>);

/// The parent of the kernel's own threads.
const KERNEL_THREADS: i32 = 2;

impl Table {
    /// Reads `/proc`; what ends while it is read is left out.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let processes = all_processes().context("/proc cannot be read")?;
        let stats = processes.filter_map(|process| process.ok()?.stat().ok());
        Ok(Self(stats.map(|stat| (stat.pid, stat)).collect()))
    }

    /// Clock ticks of one process alone.
    pub(crate) fn own_ticks(&self, pid: i32) -> u64 {
        self.0.get(&pid).map_or(0, |stat| stat.utime + stat.stime)
    }

    /// Clock ticks of all programs, those that ended and were waited for included.
    pub(crate) fn all_ticks(&self) -> u64 {
        let programs = self.0.values().filter(|stat| stat.ppid != KERNEL_THREADS);
        let ticks = |stat: &Stat| {
            let waited_for = stat.cutime.max(0).unsigned_abs() + stat.cstime.max(0).unsigned_abs();
            stat.utime + stat.stime + waited_for
        };
        programs.map(ticks).sum()
    }

    /// Clock ticks of the kernel's own threads: they write out what processes left in memory.
    pub(crate) fn kernel_ticks(&self) -> u64 {
        let threads = self.0.values().filter(|stat| stat.ppid == KERNEL_THREADS);
        threads.map(|stat| stat.utime + stat.stime).sum()
    }
}

/// How much is read of each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Times alone.
    Times,
    /// Also written octets and switches of each thread.
    Everything,
}

/// How memory was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MemoryMeasure {
    /// Pages that several processes share count once in all.
    Proportional,
    /// Pages that several processes share count for each of them.
    Resident,
}

/// A process and its descendants.
#[derive(Debug)]
pub(crate) struct Tree {
    root: i32,
    members: BTreeMap<i32, Member>,
    /// Of members that ended with nobody in the tree to inherit their figures.
    ended: Usage,
    measure: MemoryMeasure,
    can_read_written: bool,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// Tells a process from a later one of the same number.
    started: u64,
    parent: i32,
    usage: Usage,
}

impl Tree {
    /// The tree below `root` as it is now.
    ///
    /// # Errors
    /// If there is no such process.
    pub(crate) fn new(root: i32, table: &Table) -> anyhow::Result<Self> {
        let stat = table.0.get(&root).with_context(|| {
            format!("there is no process {root}: name the relay's main process with --pid")
        })?;
        let first = Member { started: stat.starttime, parent: stat.ppid, usage: Usage::default() };
        let mut tree = Self {
            root,
            members: BTreeMap::from([(root, first)]),
            ended: Usage::default(),
            measure: MemoryMeasure::Proportional,
            can_read_written: true,
        };
        tree.look(table, Depth::Everything);
        Ok(tree)
    }

    /// Takes in what `table` says.
    pub(crate) fn look(&mut self, table: &Table, depth: Depth) {
        self.drop_the_ended(table);
        self.add_descendants(table);
        for (pid, member) in &mut self.members {
            let Some(stat) = table.0.get(pid) else { continue };
            member.parent = stat.ppid;
            let with_waited_for = |own: u64, children: i64| own + children.max(0).unsigned_abs();
            member.usage.user_ticks = with_waited_for(stat.utime, stat.cutime);
            member.usage.system_ticks = with_waited_for(stat.stime, stat.cstime);
            if depth == Depth::Times {
                continue;
            }
            let Ok(process) = Process::new(*pid) else { continue };
            match process.io() {
                Ok(io) => {
                    let written = io.write_bytes.saturating_sub(io.cancelled_write_bytes);
                    member.usage.written_octets = member.usage.written_octets.max(written);
                }
                Err(procfs::ProcError::PermissionDenied(_)) => self.can_read_written = false,
                Err(_) => {}
            }
            member.usage.switches = member.usage.switches.max(switches(&process));
        }
    }

    fn drop_the_ended(&mut self, table: &Table) {
        let lives = |pid: &i32, member: &Member| {
            table.0.get(pid).is_some_and(|stat| stat.starttime == member.started)
        };
        let before = self.members.clone();
        for (pid, member) in &before {
            if lives(pid, member) {
                continue;
            }
            self.members.remove(pid);
            let mut ancestor = before.get_key_value(&member.parent);
            while let Some((pid, member)) = ancestor
                && !lives(pid, member)
            {
                ancestor = before.get_key_value(&member.parent);
            }
            // Switches are not handed on to the parent; the rest is.
            let inherited = Usage { switches: member.usage.switches, ..Usage::default() };
            let left = if ancestor.is_some() { inherited } else { member.usage };
            self.ended = self.ended.plus(left);
        }
    }

    fn add_descendants(&mut self, table: &Table) {
        loop {
            let is_new = |stat: &&Stat| {
                self.members.contains_key(&stat.ppid) && !self.members.contains_key(&stat.pid)
            };
            let found: Vec<_> = table.0.values().filter(is_new).collect();
            if found.is_empty() {
                return;
            }
            for stat in found {
                let member =
                    Member { started: stat.starttime, parent: stat.ppid, usage: Usage::default() };
                self.members.insert(stat.pid, member);
            }
        }
    }

    /// What all members used, those that ended included.
    pub(crate) fn usage(&self) -> Usage {
        self.members.values().fold(self.ended, |sum, member| sum.plus(member.usage))
    }

    /// Memory that the members take at this moment, in octets.
    pub(crate) fn memory(&mut self, table: &Table) -> u64 {
        let mut sum = 0;
        for pid in self.members.keys() {
            let Some(stat) = table.0.get(pid) else { continue };
            sum += proportional(*pid).unwrap_or_else(|| {
                // A process that is just ending has no map any more, and no resident pages either.
                if stat.rss > 0 && stat.state != 'Z' {
                    self.measure = MemoryMeasure::Resident;
                }
                stat.rss * procfs::page_size()
            });
        }
        sum
    }

    pub(crate) fn measure(&self) -> MemoryMeasure {
        self.measure
    }

    /// Whether written octets could be read of all members.
    pub(crate) fn can_read_written(&self) -> bool {
        self.can_read_written
    }

    /// How many processes there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the first process is still there and runs.
    pub(crate) fn lives(&self, table: &Table) -> bool {
        let is_alive = |stat: &Stat| !matches!(stat.state, 'Z' | 'X');
        self.members.contains_key(&self.root) && table.0.get(&self.root).is_some_and(is_alive)
    }
}

fn proportional(pid: i32) -> Option<u64> {
    let rollup = Process::new(pid).ok()?.smaps_rollup().ok()?;
    rollup.memory_map_rollup.0.first()?.extension.map.get("Pss").copied()
}

fn switches(process: &Process) -> u64 {
    let Ok(tasks) = process.tasks() else { return 0 };
    let of_task = |task: procfs::ProcResult<procfs::process::Task>| {
        let status = task.ok()?.status().ok()?;
        let voluntary = status.voluntary_ctxt_switches.unwrap_or_default();
        Some(voluntary + status.nonvoluntary_ctxt_switches.unwrap_or_default())
    };
    tasks.filter_map(of_task).sum()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    use super::*;

    /// A shell that does what it is told and then waits until its input is closed.
    struct Shell {
        child: Child,
        input: Option<ChildStdin>,
        output: BufReader<ChildStdout>,
    }

    impl Shell {
        fn runs(script: &str) -> Self {
            let script = format!("read start; {script}; echo done; read end");
            let mut command = Command::new("sh");
            command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            Self { input: child.stdin.take(), output, child }
        }

        fn pid(&self) -> i32 {
            i32::try_from(self.child.id()).unwrap()
        }

        /// Lets the script begin, and waits until it is through.
        fn finish_script(&mut self) {
            std::io::Write::write_all(self.input.as_mut().unwrap(), b"go\n").unwrap();
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            assert_eq!(line, "done\n");
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            drop(self.input.take());
            self.child.wait().unwrap();
        }
    }

    fn used(script: &str) -> (Tree, Usage) {
        let mut shell = Shell::runs(script);
        let mut tree = Tree::new(shell.pid(), &Table::read().unwrap()).unwrap();
        let before = tree.usage();
        shell.finish_script();
        tree.look(&Table::read().unwrap(), Depth::Everything);
        let used = tree.usage().since(before);
        (tree, used)
    }

    /// Runs in a shell of its own, a child of the one that is looked at.
    const BURN: &str = "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done";

    #[test]
    fn a_child_that_burned_and_ended_counts() {
        let (tree, used) = used(&format!("( {BURN} )"));
        assert_eq!(tree.len(), 1, "the child is gone");
        // A million rounds take no processor of this world less than 50 ms.
        assert!(used.ticks() >= 5, "{used:?}");
    }

    #[test]
    fn what_a_child_wrote_counts() {
        let folder = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
        let file = folder.path().join("written").display().to_string();
        let (tree, used) =
            used(&format!("dd if=/dev/zero of={file} bs=65536 count=32 conv=fsync 2>/dev/null"));
        assert!(tree.can_read_written());
        assert!(used.written_octets >= 32 * 65536, "{used:?}");
    }

    #[test]
    fn the_living_are_counted_with_their_memory() {
        let mut shell = Shell::runs(
            "sleep 1000 & first=$!; sleep 1000 & second=$!; trap 'kill $first $second' EXIT",
        );
        let mut tree = Tree::new(shell.pid(), &Table::read().unwrap()).unwrap();
        assert_eq!(tree.len(), 1);
        shell.finish_script();
        let table = Table::read().unwrap();
        tree.look(&table, Depth::Times);
        assert_eq!(tree.len(), 3);
        assert!(tree.memory(&table) > 3 * 4096, "each takes a page or more");
        assert!(tree.lives(&table));
    }

    #[test]
    fn nobody_is_no_tree() {
        let table = Table(BTreeMap::new());
        let error = Tree::new(4_000_000, &table).unwrap_err().to_string();
        assert_eq!(error, "there is no process 4000000: name the relay's main process with --pid");
    }

    /// A row of the table: pid, parent, ticks of its own, ticks of children that it waited for.
    fn table(rows: &[(i32, i32, u64, i64)]) -> Table {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap();
        let sample: Stat = procfs::FromRead::from_read(text.as_bytes()).unwrap();
        let stat = |&(pid, ppid, utime, cutime)| {
            let mut stat = sample.clone();
            (stat.pid, stat.ppid, stat.utime, stat.cutime) = (pid, ppid, utime, cutime);
            (stat.stime, stat.cstime, stat.starttime) = (0, 0, 1);
            (pid, stat)
        };
        Table(rows.iter().map(stat).collect())
    }

    #[track_caller]
    fn check(tables: &[&[(i32, i32, u64, i64)]], want: u64) {
        let root = 4_100_000;
        let mut tree = Tree::new(root, &table(tables[0])).unwrap();
        for rows in tables {
            tree.look(&table(rows), Depth::Times);
        }
        assert_eq!(tree.usage().ticks(), want);
    }

    #[test]
    fn nothing_counts_twice_and_nothing_is_lost() {
        // These numbers are above what the kernel gives out, so nothing real is read for them.
        let (root, child, grandchild, stranger) = (4_100_000, 4_100_001, 4_100_002, 4_100_003);
        check(&[&[(root, 1, 5, 0), (stranger, 1, 100, 0)]], 5);
        check(&[&[(root, 1, 5, 0), (child, root, 3, 0), (grandchild, child, 2, 0)]], 10);
        // The child ended; its parent waited for it.
        check(&[&[(root, 1, 5, 0), (child, root, 3, 0)], &[(root, 1, 6, 4)]], 10);
        // Child and grandchild ended between two looks; the root has inherited both.
        check(
            &[
                &[(root, 1, 5, 0), (child, root, 3, 0), (grandchild, child, 2, 0)],
                &[(root, 1, 5, 5)],
            ],
            10,
        );
        // The grandchild lost its parent, goes on, and ends.
        check(
            &[
                &[(root, 1, 5, 0), (child, root, 3, 0), (grandchild, child, 2, 0)],
                &[(root, 1, 5, 3), (grandchild, 1, 4, 0)],
                &[(root, 1, 5, 3)],
            ],
            12,
        );
    }
}
