//! The first thing that somebody tries.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use toml::{Table, Value};

use crate::harness::process::run;
use crate::harness::relay::PROGRAM;

/// The shipped settings on free ports, and each sample arrives as it was sent.
#[test]
fn quickstart_delivers_every_sample_octet_for_octet() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let text = fs::read_to_string(shipped.join("quickstart.toml")).expect("the shipped settings");
    let mut settings: Table = text.parse().expect("settings in TOML");
    let sink = free_address();
    settings["listener"][0]["address"] = Value::from("127.0.0.1:0");
    settings["admin"]["listen"] = Value::from("127.0.0.1:0");
    settings["outbound"][0]["smart_hosts"][0]["port"] = Value::from(i64::from(sink.port()));

    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("quickstart.toml");
    fs::write(&config, toml::to_string(&settings).expect("TOML")).expect("settings");
    let mut command = Command::new(PROGRAM);
    // The paths in the settings are relative: everything lies below the folder it is started in.
    command.current_dir(folder.path()).args(["quickstart", "--once", "--config"]).arg(&config);
    command.arg("--samples").arg(shipped.join("samples")).args(["--sink", &sink.to_string()]);
    let output = run(command, b"");

    let log = fs::read_to_string(folder.path().join(".run/relay.log")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{output:?}\n{log}");
    let delivered = output.stdout.matches("delivered, octet for octet").count();
    assert_eq!(delivered, 5, "{}\n{log}", output.stdout);
    assert!(output.stdout.contains("Try next"), "{}", output.stdout);
    assert!(folder.path().join(".run/spool").is_dir());
}

/// An address that was free a moment ago: the relay must know the sink's port before the sink has it.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}
