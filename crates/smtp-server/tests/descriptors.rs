//! A full descriptor table: clients are told, the accept loop rests, and all goes on afterwards.
//!
//! Alone in its process, since the limit is the process's.

#![expect(clippy::unwrap_used, reason = "in a test a panic is a finding")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use policy::{Admission, Router};
use smtp_server::{Listener, Parts, Server};
use telemetry::Registry;
use tokio::sync::watch;
use units::Clock;

fn greeting(socket: TcpStream) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_full_descriptor_table_is_told_and_survived() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let clock = Clock::system();
    let config = spool::Config { path: folder.path().join("spool"), ..spool::Config::default() };
    let spool = spool::Spool::open(&config, clock.clone(), 1, &registry).unwrap();
    let (accepted, _receiver) = channel::bounded(8);
    let _inside = runtime.enter();
    let server = Server::bind(Parts {
        listeners: vec![Listener {
            address: "127.0.0.1:0".parse().unwrap(),
            ..Listener::default()
        }],
        admission: Arc::new(Admission::new(vec![])),
        router: Arc::new(Router::new(vec![]).unwrap()),
        spool,
        accepted,
        clock,
        hostname: "relay.test".into(),
        registry: &registry,
    })
    .unwrap();
    let (_, address) = server.addresses()[0].clone();
    let (stop, stopped) = watch::channel(false);
    let running = runtime.spawn(server.run(stopped, Duration::from_secs(5)));

    let pid = std::process::id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--nofile=200:200"]).status();
    assert!(limited.unwrap().success());
    // The client's socket is there before the table is full.
    let mut held: Vec<File> = Vec::new();
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    client.connect(&address.into()).unwrap();
    let told = greeting(client.into());
    assert!(told.starts_with("421 4.3.2 Too many open files"), "{told:?}");
    drop(held);
    let told = greeting(TcpStream::connect(address).unwrap());
    assert!(told.starts_with("220 "), "{told:?}");
    let text = registry.render();
    let series = "chasqui_load_shed_total{listener=\"smtp\",cause=\"descriptors\"} 1";
    assert!(text.contains(series), "{text}");
    stop.send(true).unwrap();
    runtime.block_on(running).unwrap();
}
