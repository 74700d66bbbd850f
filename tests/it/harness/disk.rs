//! A disk that is small enough to fill: a size-limited tmpfs.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::process::{Process, run, tied};
use crate::harness::wait::wait_for;

/// A mounted tmpfs; dropping it unmounts.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    folder: TempDir,
    /// Without the right to mount: a process that holds a mount namespace of its own.
    holder: Option<Process>,
}

impl SmallDisk {
    /// Mounts it, in a user namespace if it cannot be done otherwise.
    pub(crate) fn mount(octets: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("chasqui-disk-").tempdir().expect("a folder");
        let disk = folder.path().join("disk");
        fs::create_dir(&disk).expect("a folder");
        let size = format!("size={octets}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "chasqui-test"]).arg(&disk);
        let direct = run(mount, b"");
        if direct.status.success() {
            return Self { folder, holder: None };
        }
        let mark = folder.path().join("mounted");
        let script =
            "mount -t tmpfs -o \"$1\" chasqui-test \"$2\" && touch \"$3\" && exec sleep 600";
        let mut command = tied("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &size]);
        command.arg(&disk).arg(&mark);
        let mut holder = Process::start(command, &folder.path().join("unshare.log"));
        wait_for("a mount in a user namespace", || {
            let ended = holder.status();
            assert!(ended.is_none(), "tmpfs cannot be mounted here: {} ({ended:?})", direct.stderr);
            mark.exists().then_some(())
        });
        Self { folder, holder: Some(holder) }
    }

    /// Where the relay finds it.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// What must stand before a program that is to see the disk.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let Some(holder) = &self.holder else { return Vec::new() };
        let process = holder.id().to_string();
        let words =
            ["nsenter", "--target", &process, "--user", "--mount", "--preserve-credentials"];
        words.map(str::to_owned).to_vec()
    }

    /// Where this process finds it.
    fn seen_from_here(&self) -> PathBuf {
        match &self.holder {
            None => self.path(),
            Some(holder) => {
                let path = self.path();
                let path = path.strip_prefix("/").expect("an absolute path");
                Path::new("/proc").join(holder.id().to_string()).join("root").join(path)
            }
        }
    }

    /// Takes the whole rest of the disk until the ballast is dropped.
    pub(crate) fn fill(&self) -> Ballast {
        let path = self.seen_from_here().join("ballast");
        let mut file = File::create(&path).expect("a file");
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.holder.is_none() {
            let mut unmount = Command::new("umount");
            unmount.arg("--lazy").arg(self.path());
            unmount.status().ok();
        }
    }
}

/// A file that takes room.
#[derive(Debug)]
pub(crate) struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
