//! A real Exim in a folder of its own, as upstream or as next hop.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::process::{Process, tied};
use crate::harness::smtp::Smtp;
use crate::harness::tls::Certificate;
use crate::harness::wait::{PATIENCE, within};

/// Where `make setup-test` unpacks it: Debian's package cannot be installed beside Postfix.
const PROGRAM: &str = "/usr/local/lib/chasqui-tests/exim4-daemon-light/usr/sbin/exim4";

/// It wants a user of its own; so that nobody has to make one, it sees a copy of /etc in which there is one.
const START: &str = r#"
set -e
cp -a /etc "$1/etc"
echo 'Debian-exim:x:64995:64995::/nonexistent:/usr/sbin/nologin' >> "$1/etc/passwd"
echo 'Debian-exim:x:64995:' >> "$1/etc/group"
mkdir "$1/etc/exim4"
cp "$1/exim4.conf" "$1/etc/exim4/exim4.conf"
chown -R 64995:64995 "$1/spool" "$1/log"
mount --bind "$1/etc" /etc
exec "$2" -bdf -q1s
"#;

/// A running Exim; dropping it stops all its processes.
#[derive(Debug)]
pub(crate) struct Exim {
    folder: TempDir,
    address: SocketAddr,
    /// Held for its `Drop`.
    _daemon: Process,
}

impl Exim {
    /// Takes everything, by STARTTLS for who wants it, and hands it on to `next_hop`. It trusts `certificate`, which it
    /// also shows. `transport` are further lines of the way out, `authenticators` a section of its own.
    pub(crate) fn towards(
        next_hop: SocketAddr,
        certificate: &Certificate,
        transport: &str,
        authenticators: &str,
    ) -> Self {
        assert!(Path::new(PROGRAM).is_file(), "Exim is missing: please run `make setup-test`");
        // No port can be kept for a foreign program: another one may take it first, so try again.
        for _ in 0..5 {
            if let Some(exim) = Self::try_start(next_hop, certificate, transport, authenticators) {
                return exim;
            }
        }
        panic!("no Exim could be started (it needs root, and a mount namespace of its own)")
    }

    fn try_start(
        next_hop: SocketAddr,
        certificate: &Certificate,
        transport: &str,
        authenticators: &str,
    ) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("chasqui-exim-").tempdir().ok()?;
        let path = folder.path();
        let address = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).ok()?;
        for part in ["spool", "log"] {
            fs::create_dir(path.join(part)).ok()?;
        }
        fs::copy(&certificate.certificate, path.join("certificate.pem")).ok()?;
        fs::copy(&certificate.key, path.join("key.pem")).ok()?;
        let text = settings(path, address, next_hop) + transport;
        let text = format!(
            "{text}\nbegin retry\n\n* * F,4d,1s\n\nbegin authenticators\n\n{authenticators}\n"
        );
        fs::write(path.join("exim4.conf"), text).ok()?;
        let mut command = tied("unshare");
        command.args(["--mount", "sh", "-c", START, "sh"]).arg(path).arg(PROGRAM);
        let mut daemon = Process::start(command, &path.join("log/start"));
        let ready = within(PATIENCE, || {
            if daemon.status().is_some() {
                return Some(false);
            }
            let mut probe = Smtp::try_open(address).ok()?;
            probe.try_command("QUIT").is_ok().then_some(true)
        });
        let exim = Self { folder, address, _daemon: daemon };
        if ready != Some(true) {
            eprintln!("--- Exim ended ---\n{}\n---", exim.log());
            return None;
        }
        Some(exim)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that Exim has logged, whichever file it is in.
    pub(crate) fn log(&self) -> String {
        let files = ["start", "main", "reject", "panic"].map(|name| {
            fs::read_to_string(self.folder.path().join("log").join(name)).unwrap_or_default()
        });
        files.concat()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Exim's log ---\n{}\n---", self.log());
        }
    }
}

fn settings(path: &Path, address: SocketAddr, next_hop: SocketAddr) -> String {
    let path = path.display();
    format!(
        "exim_path = {PROGRAM}
spool_directory = {path}/spool
log_file_path = {path}/log/%s
pid_file_path = {path}/spool/exim.pid
log_selector = +all
primary_hostname = exim.test
local_interfaces = <; {}.{}
tls_advertise_hosts = *
tls_certificate = {path}/certificate.pem
tls_privatekey = {path}/key.pem
host_lookup =
rfc1413_hosts =
deliver_drop_privilege
message_size_limit = 3M
dsn_advertise_hosts = *
strip_trailing_dot
acl_smtp_rcpt = accept
acl_smtp_vrfy = accept

begin routers

next_hop:
  driver = manualroute
  route_list = * {}::{} byname
  self = send
  transport = smtp

begin transports

smtp:
  driver = smtp
  hosts_try_fastopen =
  tls_verify_certificates = {path}/certificate.pem
",
        address.ip(),
        address.port(),
        next_hop.ip(),
        next_hop.port()
    )
}
