//! A real Dovecot in a folder of its own: mailboxes that take mail by LMTP, and logins for Postfix.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::process::{Process, run, tied};
use crate::harness::smtp::Smtp;
use crate::harness::wait::{PATIENCE, within};

/// Who logs in, and with what.
pub(crate) const USER: &str = "relay";
pub(crate) const PASSWORD: &str = "open-sesame";

/// A running Dovecot; dropping it stops all its services.
#[derive(Debug)]
pub(crate) struct Dovecot {
    folder: TempDir,
    address: SocketAddr,
    /// Held for its `Drop`.
    _master: Process,
}

impl Dovecot {
    /// With the mailboxes `ana`, `bo` and `full`, whatever the domain; nothing fits into the last.
    pub(crate) fn start() -> Self {
        // No port can be kept for a foreign program: another one may take it first, so try again.
        for _ in 0..5 {
            if let Some(dovecot) = Self::try_start() {
                return dovecot;
            }
        }
        panic!("no Dovecot could be started (tests/packages.txt; it needs root)")
    }

    fn try_start() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("chasqui-dovecot-").tempdir().ok()?;
        let path = folder.path();
        let address = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).ok()?;
        fs::create_dir(path.join("mail")).ok()?;
        let mut owner = Command::new("chown");
        owner.arg("nobody:nogroup").arg(path.join("mail"));
        run(owner, b"").succeeded();
        let users: String = ["ana", "bo", "full"]
            .map(|name| {
                let rule = if name == "full" { "userdb_quota_rule=*:storage=1B" } else { "" };
                format!("{name}::65534:65534::{}/mail/{name}::{rule}\n", path.display())
            })
            .concat();
        fs::write(path.join("users"), users).ok()?;
        fs::write(path.join("logins"), format!("{USER}:{{PLAIN}}{PASSWORD}\n")).ok()?;
        fs::write(path.join("dovecot.conf"), settings(path, address)).ok()?;
        let mut command = tied("dovecot");
        command.arg("-F").arg("-c").arg(path.join("dovecot.conf"));
        let mut master = Process::start(command, &path.join("master.log"));
        let ready = within(PATIENCE, || {
            if master.status().is_some() {
                return Some(false);
            }
            let mut probe = Smtp::connect(address).ok()?;
            (probe.try_read_reply().ok()?.code == 220).then_some(true)
        });
        ready?.then_some(Self { folder, address, _master: master })
    }

    /// Where LMTP is spoken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where LMTP is spoken, too.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("lmtp")
    }

    /// Where Postfix asks about logins.
    pub(crate) fn logins(&self) -> PathBuf {
        self.folder.path().join("auth")
    }

    /// The messages of a mailbox.
    pub(crate) fn mailbox(&self, user: &str) -> Vec<Vec<u8>> {
        let new = self.folder.path().join("mail").join(user).join("new");
        let files = fs::read_dir(new).into_iter().flatten().flatten();
        files.map(|file| fs::read(file.path()).expect("a message")).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("dovecot.log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Dovecot's log ---\n{}\n---", self.log());
        }
    }
}

fn settings(path: &Path, address: SocketAddr) -> String {
    let (path, host, port) = (path.display(), address.ip(), address.port());
    format!(
        "base_dir = {path}/run
state_dir = {path}/state
log_path = {path}/dovecot.log
protocols = lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-1 scram-sha-256
auth_username_format = %n
mail_location = maildir:~
mail_plugins = quota
first_valid_uid = 1
plugin {{
  quota = count:all
  quota_vsizes = yes
}}
passdb {{
  driver = passwd-file
  args = {path}/logins
}}
userdb {{
  driver = passwd-file
  args = {path}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
  unix_listener {path}/lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {path}/auth {{
    mode = 0666
  }}
}}
"
    )
}
