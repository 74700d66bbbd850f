//! Server and client over real sockets.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use admin::view::{
    Action, Ban, Bans, Changed, Changes, Connector, Connectors, Direction, DomainReport, Edit,
    ExportFormat, Filter, Grade, Health, Lifted, Message, Queue, QueueList, Reloaded, Run,
    Selection, Spool, Status, Trial, Tried, Unban,
};
use admin::{BindError, Client, ClientError, Config, Failure, Relay, Role, Server, Token};
use telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

#[derive(Default)]
struct Fake {
    is_full: AtomicBool,
}

impl Relay for Fake {
    async fn status(&self) -> Result<Status, Failure> {
        Ok(Status {
            version: "1".to_owned(),
            hostname: "relay.example".to_owned(),
            pid: 1,
            uptime_seconds: 2,
            health: self.health(),
            listeners: Vec::new(),
            spool: Spool {
                path: PathBuf::from("/spool"),
                messages: 3,
                octets: 4,
                body_io: "threads".to_owned(),
            },
            queue: Queue::default(),
            channels: Vec::new(),
            limits: Vec::new(),
            intakes: Vec::new(),
        })
    }

    fn health(&self) -> Health {
        let is_full = self.is_full.load(Ordering::Relaxed);
        let reasons = is_full.then(|| "the device is full".to_owned()).into_iter().collect();
        Health { ready: !is_full, reasons }
    }

    async fn list(&self, filter: Filter) -> Result<QueueList, Failure> {
        assert_eq!(
            filter,
            Filter {
                destination: Some("internet/a b.example".to_owned()),
                sender: Some("@a&b".to_owned()),
                recipient: None,
                limit: 10_000
            }
        );
        Ok(QueueList { messages: Vec::new(), more: true, looked_at: None })
    }

    async fn show(&self, id: String) -> Result<Message, Failure> {
        Err(Failure::missing(format!("no message {id}"), "look at `chasqui queue list`"))
    }

    async fn retry(&self, selection: Selection) -> Result<Changed, Failure> {
        Ok(Changed { messages: selection.ids.len() as u64, held: 0 })
    }

    async fn cancel(&self, _: Selection) -> Result<Changed, Failure> {
        Err(Failure::Busy("the queue is stopping".to_owned()))
    }

    fn bans(&self) -> Bans {
        let ban = Ban { of: "client".to_owned(), name: "192.0.2.1".to_owned(), ends_in_seconds: 9 };
        Bans { bans: vec![ban] }
    }

    fn unban(&self, unban: Unban) -> Result<Lifted, Failure> {
        Ok(Lifted { bans: if unban.all { 7 } else { 1 } })
    }

    async fn examine(&self, domain: String) -> Result<DomainReport, Failure> {
        Ok(DomainReport { domain, grade: Grade::Warn, checks: Vec::new() })
    }

    async fn connectors(&self) -> Result<Connectors, Failure> {
        let connector = Connector {
            direction: Direction::Inbound,
            name: "printers".to_owned(),
            enabled: true,
            file: PathBuf::from("/x.toml"),
            fields: serde_json::Map::new(),
            usage: None,
            intake: None,
        };
        Ok(Connectors { connectors: vec![connector] })
    }

    async fn edit(&self, edits: Vec<Edit>, run: Run) -> Result<Changes, Failure> {
        let notes = edits.iter().map(|edit| {
            let Edit { direction, name, action } = edit;
            format!("{direction} {name} {}", serde_json::to_string(action).unwrap())
        });
        Ok(Changes { done: run == Run::Real, notes: notes.collect(), ..Changes::default() })
    }

    async fn test(&self, name: String, trial: Trial) -> Result<Tried, Failure> {
        let verdict = format!("{name} {} {}", trial.from, trial.to);
        Ok(Tried { connector: name, verdict, milliseconds: 1, steps: Vec::new() })
    }

    async fn export(&self, format: ExportFormat) -> Result<String, Failure> {
        Ok(format!("{format:?}"))
    }

    async fn import(&self, text: String, run: Run) -> Result<Changes, Failure> {
        Ok(Changes { done: run == Run::Real, notes: vec![text], ..Changes::default() })
    }

    async fn reload(&self) -> Result<Reloaded, Failure> {
        Ok(Reloaded { needs_restart: vec!["listener".to_owned()] })
    }
}

struct Running {
    client: Client,
    relay: Arc<Fake>,
    address: SocketAddr,
    config: Config,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn started() -> Running {
    started_with(|_| Vec::new()).await
}

async fn started_with(tokens: impl FnOnce(&std::path::Path) -> Vec<Token>) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        socket: folder.path().join("admin.sock"),
        listen: "127.0.0.1:0".parse().unwrap(),
        token: tokens(folder.path()),
        ..Config::default()
    };
    let server = Server::bind(&config).await.unwrap();
    let address = server.address().unwrap();
    let (relay, registry) = (Arc::new(Fake::default()), Arc::new(Registry::new()));
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(server.run(Arc::clone(&relay), registry, stopped));
    let client = Client::new(&config.socket).unwrap();
    Running { client, relay, address, config, stop, task, _folder: folder }
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path}"), "").await
}

/// Asks with `header`, which ends in CRLF unless it is empty.
async fn ask(address: SocketAddr, what: &str, header: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{what} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_client_gets_what_the_relay_says() {
    let running = started().await;
    let client = &running.client;
    assert_eq!(client.status().await.unwrap().spool.messages, 3);
    assert_eq!(client.bans().await.unwrap().bans.len(), 1);
    let unban = |all, whom: Option<&str>| Unban { all, whom: whom.map(str::to_owned) };
    assert_eq!(client.unban(&unban(true, None)).await.unwrap().bans, 7);
    assert_eq!(client.unban(&unban(false, Some("192.0.2.1"))).await.unwrap().bans, 1);
    for none in [unban(false, None), unban(true, Some("x"))] {
        let refused = client.unban(&none).await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused { .. }), "{refused}");
    }
    // Longer lists than the bound are cut to it.
    let filter = Filter {
        destination: Some("internet/a b.example".to_owned()),
        sender: Some("@a&b".to_owned()),
        recipient: None,
        limit: usize::MAX,
    };
    assert!(client.list(&filter).await.unwrap().more);
    let ids = Selection { ids: vec!["a".to_owned(), "b".to_owned()], ..Selection::default() };
    assert_eq!(client.retry(&ids).await.unwrap(), Changed { messages: 2, held: 0 });
}

#[tokio::test]
async fn refusals_come_with_what_to_do() {
    let running = started().await;
    let check = |result: Result<(), ClientError>, want: &str| match result {
        Err(ClientError::Refused { error, hint: Some(hint) }) => {
            assert_eq!(format!("{error}: {hint}"), want);
        }
        other => panic!("{other:?}"),
    };
    let client = &running.client;
    check(client.show("../x").await.map(drop), "no message ___x: look at `chasqui queue list`");
    let all = Selection { all: true, ..Selection::default() };
    check(client.cancel(&all).await.map(drop), "the queue is stopping: try again in a few seconds");
    let none = client.cancel(&Selection::default()).await.unwrap_err();
    assert!(none.to_string().contains("names no message"), "{none}");
}

#[tokio::test]
async fn tcp_only_reads() {
    let running = started().await;
    assert!(get(running.address, "/health/ready").await.starts_with("HTTP/1.1 200"));
    running.relay.is_full.store(true, Ordering::Relaxed);
    let ready = get(running.address, "/health/ready").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("device is full"), "{ready}");
    assert!(get(running.address, "/health/live").await.starts_with("HTTP/1.1 200"));
    let metrics = get(running.address, "/metrics").await;
    assert!(metrics.contains("chasqui_admin_requests_total{code_class=\"5xx\"} 1"), "{metrics}");
    let control = get(running.address, "/v1/status").await;
    assert!(control.starts_with("HTTP/1.1 404") && control.contains("Unix socket"), "{control}");
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_relay() {
    let running = started().await;
    let mode = std::fs::metadata(&running.config.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(Server::bind(&running.config).await, Err(BindError::Taken(_))));
    running.stop.send(true).unwrap();
    running.task.await.unwrap();
    assert!(!running.config.socket.exists());
    assert!(matches!(running.client.status().await, Err(ClientError::NotRunning(_))));
    // What a killed relay left behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&running.config.socket).unwrap());
    Server::bind(&running.config).await.unwrap();
}

#[tokio::test]
async fn connectors_are_asked_for_by_path() {
    let running = started().await;
    let client = &running.client;
    assert_eq!(client.connectors().await.unwrap().connectors.len(), 1);
    let edit = |action| Edit { direction: Direction::Outbound, name: "a".to_owned(), action };
    let changes = client.edit(&[edit(Action::Remove)], Run::Dry).await.unwrap();
    assert_eq!((changes.done, changes.notes), (false, vec!["outbound a \"remove\"".to_owned()]));
    assert!(client.edit(&[], Run::Real).await.unwrap().done);
    let trial =
        Trial { from: String::new(), to: "b@c.example".to_owned(), probe: false, action: None };
    assert_eq!(client.test("a/b", &trial).await.unwrap().verdict, "a_b  b@c.example");
    assert_eq!(client.export(ExportFormat::Json).await.unwrap(), "Json");
    assert_eq!(client.import("words", Run::Dry).await.unwrap().notes, ["words"]);
    assert_eq!(client.reload().await.unwrap().needs_restart, ["listener"]);
}

#[tokio::test]
async fn roles_over_tcp() {
    let (viewer, viewer_hash) = admin::new_token().unwrap();
    let (boss, boss_hash) = admin::new_token().unwrap();
    let running = started_with(|folder| {
        let token = |name: &str, role, hash: &str| {
            let hash_file = folder.join(name);
            std::fs::write(&hash_file, format!("{hash}\n")).unwrap();
            Token { name: name.to_owned(), role, hash_file }
        };
        vec![
            token("eye", Role::Viewer, &viewer_hash),
            token("boss", Role::Admin, &boss_hash),
            Token { name: "gone".to_owned(), role: Role::Admin, hash_file: folder.join("gone") },
        ]
    })
    .await;
    assert!(running.config.token[0].problem().is_none());
    assert!(running.config.token[2].problem().is_some());
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let (eye, boss) = (bearer(&viewer), bearer(&boss));
    let (nobody, wrong) = (String::new(), bearer(&viewer_hash));
    let one = "/v1/connectors/inbound/printers";
    for (what, header, want) in [
        ("GET /metrics".to_owned(), &nobody, "200"),
        ("GET /v1/status".to_owned(), &nobody, "401"),
        ("GET /v1/status".to_owned(), &wrong, "401"),
        ("GET /v1/nothing".to_owned(), &boss, "404"),
        ("GET /v1/status".to_owned(), &eye, "200"),
        (format!("GET {one}"), &eye, "200"),
        ("GET /v1/connectors/inbound/other".to_owned(), &eye, "404"),
        (format!("DELETE {one}"), &eye, "403"),
        (format!("POST {one}/disable"), &eye, "403"),
        ("POST /v1/queue/cancel".to_owned(), &eye, "403"),
        (format!("DELETE {one}"), &nobody, "401"),
        (format!("DELETE {one}?dry_run=true"), &boss, "200"),
        (format!("POST {one}/disable"), &boss, "200"),
        (format!("POST {one}/disable?x=1"), &boss, "400"),
    ] {
        let answer = ask(running.address, &what, header).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {want}")), "{what}: {answer}");
    }
    // The way of the private socket is free of it.
    assert_eq!(running.client.connectors().await.unwrap().connectors.len(), 1);
}
