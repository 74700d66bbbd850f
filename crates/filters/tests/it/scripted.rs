//! A milter that does as it is told, and remembers what it has heard.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use filters::config::{Config, Kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// What it answers to a command.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// Packets, each its kind and content.
    Packets(Vec<(u8, Vec<u8>)>),
    /// Octets that may be no packets.
    Raw(Vec<u8>),
    /// Such octets for ever.
    Flood(Vec<u8>),
    Nothing,
    Close,
}

/// One packet.
pub(crate) fn say(kind: u8, content: &[u8]) -> Say {
    Say::Packets(vec![(kind, content.to_vec())])
}

/// One that says `continue`.
pub(crate) fn go_on() -> Say {
    say(b'c', b"")
}

/// Agrees to do these, and wants these steps.
pub(crate) fn agree(actions: u32, steps: u32) -> Say {
    let numbers = [6_u32, actions, steps].map(u32::to_be_bytes);
    say(b'O', numbers.as_flattened())
}

type Script = dyn Fn(u8, &[u8]) -> Say + Send + Sync;

#[derive(Clone)]
pub(crate) struct Milter {
    pub(crate) address: String,
    script: Arc<Script>,
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Milter {
    /// Listens over TCP. The script hears each command but macros, ABORT and QUIT, which nobody answers.
    pub(crate) async fn start(script: impl Fn(u8, &[u8]) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let milter = Self::new(format!("inet:{}", listener.local_addr().unwrap()), script);
        let server = milter.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                server.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(server.clone().serve(stream));
            }
        });
        milter
    }

    /// Listens on a Unix socket.
    pub(crate) fn start_at(
        path: &Path,
        script: impl Fn(u8, &[u8]) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let milter = Self::new(format!("unix:{}", path.display()), script);
        let server = milter.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        milter
    }

    fn new(address: String, script: impl Fn(u8, &[u8]) -> Say + Send + Sync + 'static) -> Self {
        Self {
            address,
            script: Arc::new(script),
            heard: Arc::default(),
            connections: Arc::default(),
        }
    }

    pub(crate) fn config(&self) -> Config {
        let (name, address) = ("scripted".to_owned(), self.address.clone());
        Config { name, kind: Kind::Milter, address, ..Config::default() }
    }

    /// What it has heard, without the offer and macros: `MAIL <a@b>`.
    pub(crate) fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|line| !line.starts_with(['O', 'D'])).cloned().collect()
    }

    /// All macros, by the command they came before.
    pub(crate) fn macros(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|line| line.starts_with('D')).cloned().collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        while let Ok(length) = stream.read_u32().await {
            let mut packet = vec![0; length as usize];
            if stream.read_exact(&mut packet).await.is_err() {
                return;
            }
            let (kind, content) = (packet[0], &packet[1..]);
            let text = String::from_utf8_lossy(content).replace('\0', " ");
            self.heard
                .lock()
                .unwrap()
                .push(format!("{} {text}", kind as char).trim_end_matches(' ').to_owned());
            if matches!(kind, b'D' | b'A' | b'Q') {
                continue;
            }
            let written = match (self.script)(kind, content) {
                Say::Packets(packets) => stream.write_all(&bytes_of(&packets)).await,
                Say::Raw(octets) => stream.write_all(&octets).await,
                Say::Flood(octets) => loop {
                    if let Err(error) = stream.write_all(&octets).await {
                        break Err(error);
                    }
                },
                Say::Nothing => Ok(()),
                Say::Close => return,
            };
            if written.is_err() {
                return;
            }
        }
    }
}

fn bytes_of(packets: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, content) in packets {
        bytes.extend_from_slice(&u32::try_from(content.len() + 1).unwrap().to_be_bytes());
        bytes.push(*kind);
        bytes.extend_from_slice(content);
    }
    bytes
}

/// Answers the offer as told and everything else with `continue`, but for one command.
pub(crate) fn but_for(
    command: u8,
    answer: Say,
) -> impl Fn(u8, &[u8]) -> Say + Send + Sync + 'static {
    move |kind, _| match kind {
        _ if kind == command => answer.clone(),
        b'O' => agree(0xfd, 0),
        _ => go_on(),
    }
}
