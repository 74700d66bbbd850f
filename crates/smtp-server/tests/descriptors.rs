//! Few descriptors left, and none: clients are told, the accept loop rests, and all goes on afterwards.
//!
//! Alone in its process, since the limit is the process's.

#![expect(clippy::unwrap_used, reason = "in a test a panic is a finding")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use policy::{Admission, Live, Policy, Router};
use resolver::Resolver;
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

fn allow(descriptors: &str) {
    let pid = std::process::id().to_string();
    let nofile = format!("--nofile={descriptors}");
    assert!(Command::new("prlimit").args(["--pid", &pid, &nofile]).status().unwrap().success());
}

/// Connects until a client is turned away; the others and what it was told.
fn connect_all(address: SocketAddr) -> (Vec<TcpStream>, String) {
    let mut clients = Vec::new();
    loop {
        let client = TcpStream::connect(address).unwrap();
        let told = greeting(client.try_clone().unwrap());
        if !told.starts_with("220 ") {
            return (clients, told);
        }
        clients.push(client);
    }
}

/// Connects until a client is greeted: places come free a moment after their clients have gone.
fn connect_again(address: SocketAddr) -> bool {
    (0..10_000).any(|_| greeting(TcpStream::connect(address).unwrap()).starts_with("220 "))
}

#[test]
fn a_full_descriptor_table_is_told_and_survived() {
    allow("400:");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let clock = Clock::system();
    let config = spool::Config { path: folder.path().join("spool"), ..spool::Config::default() };
    let spool = spool::Spool::open(&config, clock.clone(), 1, &registry).unwrap();
    let (accepted, _receiver) = channel::bounded(8);
    let _inside = runtime.enter();
    let config =
        resolver::Config { servers: vec!["127.0.0.1:9".parse().unwrap()], ..Default::default() };
    let resolver = Resolver::open(&config, 1, &registry).unwrap();
    let server = Server::bind(Parts {
        listeners: vec![Listener {
            address: "127.0.0.1:0".parse().unwrap(),
            ..Listener::default()
        }],
        policy: Live::new(Policy::new(Admission::new(vec![]), Router::new(vec![]).unwrap())),
        resolver,
        filters: std::sync::Arc::default(),
        return_paths: auth::ReturnPaths::default(),
        authenticator: None,
        spool,
        accepted,
        logins: sasl::Authenticator::open(
            &sasl::config::Config::default(),
            Clock::system(),
            &registry,
        )
        .unwrap(),
        clock,
        hostname: "relay.test".into(),
        registry: &registry,
    })
    .unwrap();
    let (_, address) = server.addresses()[0].clone();
    let (stop, stopped) = watch::channel(false);
    let running = runtime.spawn(server.run(stopped, Duration::from_secs(5)));

    // A quarter of the table is not for connections.
    let (clients, told) = connect_all(address);
    assert!(told.starts_with("421 4.3.2 Too many open files"), "{told:?}");
    let others: Vec<_> = (0..95).map(|_| File::open("/dev/null").unwrap()).collect();
    drop((clients, others));
    assert!(connect_again(address));
    let is_over = || registry.render().contains("reception_connections{listener=\"smtp\"} 0\n");
    assert!((0..100_000).any(|_| is_over()), "connections stay open");

    allow("200:200");
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
    assert!(connect_again(address));
    let text = registry.render();
    let series = "chasqui_load_shed_total{listener=\"smtp\",cause=\"descriptors\"} ";
    let shed = text.lines().find_map(|line| line.strip_prefix(series)?.parse::<u64>().ok());
    assert!(shed >= Some(2), "{text}");
    stop.send(true).unwrap();
    runtime.block_on(running).unwrap();
}
