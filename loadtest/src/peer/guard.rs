//! Whoever dies, a relay that was started is stopped and its folder removed: by a shell that waits for the end of a
//! pipe whose other end is held by this program alone.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Waits until its input ends; then stops the process group `$1` by the command `$2` and by signals, and removes the
/// folder `$3` if there is one. What does not end within twenty seconds is killed.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r nothing
if [ -n "$2" ]; then sh -c "$2"; fi
kill -s TERM -- "-$1"
tries=200
while [ $tries -gt 0 ] && kill -s 0 -- "-$1"; do sleep 0.1; tries=$((tries - 1)); done
kill -s KILL -- "-$1"
if [ -n "$3" ]; then rm -rf -- "$3"; fi
"#;

/// The shell; dropping its input makes it act.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Watches over the process group of `group`.
    pub(crate) fn over(group: u32, stop: &str, folder: Option<&Path>) -> anyhow::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg("guard").arg(group.to_string()).arg(stop);
        command.arg(folder.unwrap_or(Path::new("")));
        // In a group of its own, so that Ctrl-C in a terminal does not reach it; out of the folder that it removes.
        command.process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("no shell can be started (/bin/sh)")?))
    }

    /// Has it act.
    pub(crate) fn act(&mut self) {
        drop(self.0.stdin.take());
    }

    /// Whether all is done.
    pub(crate) fn is_done(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}
