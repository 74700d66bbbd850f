//! The machine that figures were taken on, and how its processors were used.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use procfs::{Current, CurrentSI};
use serde::Serialize;

/// What a reader needs to know of a machine to judge figures taken on it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    pub(crate) processor_model: String,
    pub(crate) memory_octets: u64,
    pub(crate) kernel: String,
    pub(crate) system: String,
    /// Where relays keep their mail during a run.
    pub(crate) folder: String,
    pub(crate) file_system: String,
    pub(crate) device: String,
}

impl Machine {
    /// Describes this machine; `folder` is where relays keep their mail.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let processors = procfs::CpuInfo::current().context("/proc/cpuinfo cannot be read")?;
        let memory = procfs::Meminfo::current().context("/proc/meminfo cannot be read")?;
        let mount = mount(folder);
        Ok(Self {
            processors: processors.num_cores(),
            processor_model: processors.model_name(0).unwrap_or("unknown").to_owned(),
            memory_octets: memory.mem_total,
            kernel: read_trimmed("/proc/sys/kernel/osrelease"),
            system: system_name(),
            folder: folder.display().to_string(),
            file_system: mount
                .as_ref()
                .map_or_else(|| "unknown".to_owned(), |(kind, _)| kind.clone()),
            device: mount.map_or_else(|| "unknown".to_owned(), |(_, device)| device),
        })
    }

    /// Whether what is written to the folder never reaches a device.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }
}

fn read_trimmed(path: &str) -> String {
    std::fs::read_to_string(path)
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn system_name() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "unknown".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// Kind and source of the file system that holds `folder`.
fn mount(folder: &Path) -> Option<(String, String)> {
    let path = folder.canonicalize().ok()?;
    let mounts = procfs::process::Process::myself().ok()?.mountinfo().ok()?;
    let holder = mounts
        .0
        .into_iter()
        .filter(|mount| path.starts_with(&mount.mount_point))
        // Of two mounts at one place the later hides the earlier.
        .max_by_key(|mount| mount.mount_point.as_os_str().len())?;
    Some((holder.fs_type, holder.mount_source.unwrap_or_default()))
}

/// How the processors were used since the machine started, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Programs, and the kernel on their behalf.
    pub(crate) busy: u64,
    /// Taken away by the machine that this one is simulated on.
    pub(crate) stolen: u64,
    pub(crate) idle: u64,
    /// Serving interrupts. Some kernels count this also as time of the program that was interrupted.
    pub(crate) interrupts: u64,
}

impl Times {
    /// The machine's times until now.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let total = procfs::KernelStats::current().context("/proc/stat cannot be read")?.total;
        Ok(Self {
            busy: total.user + total.nice + total.system,
            stolen: total.steal.unwrap_or_default(),
            idle: total.idle + total.iowait.unwrap_or_default(),
            interrupts: total.irq.unwrap_or_default() + total.softirq.unwrap_or_default(),
        })
    }

    /// What came since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(earlier.busy),
            stolen: self.stolen.saturating_sub(earlier.stolen),
            idle: self.idle.saturating_sub(earlier.idle),
            interrupts: self.interrupts.saturating_sub(earlier.interrupts),
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.busy + self.stolen + self.idle + self.interrupts
    }
}

/// Octets written so far to the device that holds `folder`, by anybody; none where the kernel keeps no count of it.
pub(crate) fn device_written_octets(folder: &Path) -> Option<u64> {
    /// The unit of `/proc/diskstats`, whatever the device's own is.
    const SECTOR_OCTETS: u64 = 512;
    let device = std::fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let disks = procfs::DiskStats::current().ok()?;
    let is_it = |disk: &&procfs::DiskStat| {
        u32::try_from(disk.major) == Ok(major) && u32::try_from(disk.minor) == Ok(minor)
    };
    Some(disks.0.iter().find(is_it)?.sectors_written * SECTOR_OCTETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let machine = Machine::read(Path::new("/proc")).unwrap();
        assert!(machine.processors > 0 && machine.memory_octets > 0, "{machine:?}");
        assert_eq!(machine.file_system, "proc");
        assert!(!machine.kernel.is_empty() && machine.kernel != "unknown");
    }

    #[test]
    fn times_only_grow() {
        let earlier = Times::read().unwrap();
        let later = Times::read().unwrap();
        assert!(earlier.total() > 0 && later.total() >= earlier.total(), "{earlier:?} {later:?}");
        assert_eq!(later.since(later), Times::default());
    }
}
