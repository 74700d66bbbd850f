//! A real Postfix in a folder of its own, as upstream or as next hop.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::process::{Process, run, tied};
use crate::harness::smtp::Smtp;
use crate::harness::wait::{PATIENCE, within};

const DAEMONS: &str = "/usr/lib/postfix/sbin";
const SERVICES: &str = "
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix; dropping it stops all its daemons.
#[derive(Debug)]
pub(crate) struct Postfix {
    folder: TempDir,
    address: SocketAddr,
    /// Held for its `Drop`.
    _master: Process,
}

impl Postfix {
    /// Takes everything by SMTP and hands it on to `relay_host`.
    pub(crate) fn towards(relay_host: SocketAddr, name: &str) -> Self {
        Self::with(relay_host, name, "")
    }

    /// The same with further lines of `main.cf`.
    pub(crate) fn with(relay_host: SocketAddr, name: &str, lines: &str) -> Self {
        // No port can be kept for a foreign program: another one may take it first, so try again.
        for _ in 0..5 {
            if let Some(postfix) = Self::try_start(relay_host, name, lines) {
                return postfix;
            }
        }
        panic!("no Postfix could be started (tests/packages.txt; it needs root)")
    }

    fn try_start(relay_host: SocketAddr, name: &str, lines: &str) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("chasqui-postfix-").tempdir().ok()?;
        let path = folder.path();
        let address = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).ok()?;
        for part in ["etc", "queue", "data"] {
            fs::create_dir(path.join(part)).ok()?;
        }
        let main = main_cf(path, relay_host, name) + lines + "\n";
        fs::write(path.join("etc/main.cf"), main).ok()?;
        let listener = format!("{address} inet n - n - - smtpd");
        fs::write(path.join("etc/master.cf"), listener + SERVICES).ok()?;
        let mut owner = Command::new("chown");
        owner.arg("postfix").arg(path.join("data"));
        run(owner, b"").succeeded();
        // Makes the queue's folders with the rights that Postfix wants.
        let mut check = Command::new("postfix");
        check.arg("-c").arg(path.join("etc")).arg("check");
        run(check, b"").succeeded();
        let mut command = tied(format!("{DAEMONS}/master"));
        command.arg("-d").arg("-c").arg(path.join("etc"));
        let mut master = Process::start(command, &path.join("master.log"));
        let ready = within(PATIENCE, || {
            if master.status().is_some() {
                return Some(false);
            }
            let mut probe = Smtp::try_open(address).ok()?;
            probe.try_command("QUIT").is_ok().then_some(true)
        });
        ready?.then_some(Self { folder, address, _master: master })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What Postfix has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("mail.log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Postfix's log ---\n{}\n---", self.log());
        }
    }
}

fn main_cf(path: &Path, relay_host: SocketAddr, name: &str) -> String {
    let path = path.display();
    let (host, port) = (relay_host.ip(), relay_host.port());
    format!(
        "compatibility_level = 3.6
queue_directory = {path}/queue
data_directory = {path}/data
command_directory = /usr/sbin
daemon_directory = {DAEMONS}
mail_owner = postfix
setgid_group = postdrop
myhostname = {name}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [{host}]:{port}
alias_maps =
alias_database =
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject
maillog_file = {path}/mail.log
maillog_file_prefixes = {path}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
smtputf8_enable = yes
"
    )
}
