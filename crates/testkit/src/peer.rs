//! A scripted SMTP server: it does what most servers do, but for the deviations that its script names.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may stop here")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Stands for the moment when a connection is there.
pub const CONNECT: &str = "CONNECT";
/// Stands for the end of the content.
pub const DOT: &str = ".";

/// One thing the peer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sends the text and a line end.
    Reply(&'static str),
    /// Sends the text as it is.
    Raw(&'static str),
    /// Reads something and throws it away.
    Read,
    /// Ends the connection in good order.
    Close,
    /// Ends the connection by a reset.
    Reset,
    /// Reads and says nothing until the client goes.
    Stall,
    /// Waits until [`Peer::go_on`] was called.
    Pause,
    /// Does a TLS handshake.
    Handshake,
}

#[derive(Clone, Debug)]
struct Rule {
    prefix: &'static str,
    times_left: usize,
    acts: Vec<Act>,
}

/// What one connection does out of the ordinary.
#[derive(Clone, Debug)]
pub struct Script {
    rules: Vec<Rule>,
    offers: Vec<&'static str>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            offers: vec![
                "PIPELINING",
                "8BITMIME",
                "SMTPUTF8",
                "SIZE 104857600",
                "ENHANCEDSTATUSCODES",
            ],
        }
    }
}

impl Script {
    /// Each line that begins with `prefix` (whatever the case), [`CONNECT`] or [`DOT`] does `acts`.
    #[must_use]
    pub fn on(self, prefix: &'static str, acts: &[Act]) -> Self {
        self.times(usize::MAX, prefix, acts)
    }

    /// As [`Self::on`], for the first `times` of them; later rules for the same prefix come after it.
    #[must_use]
    pub fn times(mut self, times: usize, prefix: &'static str, acts: &[Act]) -> Self {
        self.rules.push(Rule { prefix, times_left: times, acts: acts.to_vec() });
        self
    }

    /// As [`Self::on`], with one reply.
    #[must_use]
    pub fn replies(self, prefix: &'static str, reply: &'static str) -> Self {
        self.on(prefix, &[Act::Reply(reply)])
    }

    /// Offers these extensions only.
    #[must_use]
    pub fn offers(mut self, offers: &[&'static str]) -> Self {
        self.offers = offers.to_vec();
        self
    }

    fn acts(&mut self, line: &str) -> Option<Vec<Act>> {
        let fits = |rule: &&mut Rule| {
            let start = line.get(..rule.prefix.len());
            rule.times_left > 0
                && start.is_some_and(|start| start.eq_ignore_ascii_case(rule.prefix))
        };
        let rule = self.rules.iter_mut().find(fits)?;
        rule.times_left -= 1;
        Some(rule.acts.clone())
    }
}

/// What the peer saw of one message whose dot it answered with 250.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The lines of the transaction: `MAIL FROM:…`, then each `RCPT TO:…` that got a 2xx.
    pub envelope: Vec<String>,
    /// The content without dot stuffing.
    pub content: Vec<u8>,
}

/// What the peer saw of one connection.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// All command lines.
    pub lines: Vec<String>,
    /// The messages it took.
    pub messages: Vec<Message>,
    /// Whether a TLS handshake was done.
    pub is_tls: bool,
    /// Whether the connection is over.
    pub is_over: bool,
}

#[derive(Debug)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    scripts: Vec<Script>,
    acceptor: Option<Acceptor>,
    open: AtomicUsize,
    open_max: AtomicUsize,
    changed: Notify,
    go_on: tokio::sync::Semaphore,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Acceptor")
    }
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Starts one on a free port; the n-th connection follows the n-th script, the last one serves all further ones.
    pub async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), scripts, None).await
    }

    /// As [`Self::start`]; offers STARTTLS (RFC 3207) with `acceptor`.
    pub async fn start_tls(
        acceptor: TlsAcceptor,
        scripts: impl IntoIterator<Item = Script>,
    ) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), scripts, Some(acceptor)).await
    }

    /// As [`Self::start`], at an address of choice.
    pub async fn start_at(
        address: SocketAddr,
        scripts: impl IntoIterator<Item = Script>,
        acceptor: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            scripts: scripts.into_iter().collect(),
            acceptor: acceptor.map(Acceptor),
            open: AtomicUsize::new(0),
            open_max: AtomicUsize::new(0),
            changed: Notify::new(),
            go_on: tokio::sync::Semaphore::new(0),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came so far, by connection.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// The messages taken so far, connection by connection.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.seen.lock().iter().flat_map(|seen| seen.messages.clone()).collect()
    }

    /// The largest number of connections that were open at one time.
    pub fn open_max(&self) -> usize {
        self.shared.open_max.load(Ordering::Relaxed)
    }

    /// Lets one [`Act::Pause`] pass.
    pub fn go_on(&self) {
        self.shared.go_on.add_permits(1);
    }

    /// Waits until `holds` is true of what came; bound it by a timeout.
    pub async fn until(&self, holds: impl Fn(&[Seen]) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.shared.seen.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the peer.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let index = {
            let mut seen = shared.seen.lock();
            seen.push(Seen::default());
            seen.len() - 1
        };
        let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        shared.open_max.fetch_max(open, Ordering::Relaxed);
        shared.changed.notify_waiters();
        let script = shared.scripts.get(index).or(shared.scripts.last()).cloned();
        let mut connection = Connection {
            index,
            script: script.unwrap_or_default(),
            shared: Arc::clone(&shared),
            envelope: Vec::new(),
        };
        connections.spawn(async move {
            connection.run(socket).await;
            connection.note(|seen| seen.is_over = true);
            connection.shared.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// How a round of acts ended.
enum Next {
    Line,
    Handshake,
    Over,
    Reset,
}

struct Connection {
    index: usize,
    script: Script,
    shared: Arc<Shared>,
    envelope: Vec<String>,
}

impl Connection {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.shared.seen.lock().get_mut(self.index) {
            change(seen);
        }
        self.shared.changed.notify_waiters();
    }

    async fn run(&mut self, socket: TcpStream) {
        let mut plain = BufReader::new(socket);
        let next = match self.react(&mut plain, CONNECT).await {
            Next::Line => self.serve(&mut plain).await,
            next => next,
        };
        match next {
            Next::Line | Next::Over => {}
            Next::Reset => {
                let socket = plain.into_inner();
                socket2::SockRef::from(&socket)
                    .set_linger(Some(std::time::Duration::ZERO))
                    .unwrap();
            }
            Next::Handshake => {
                let Some(Acceptor(acceptor)) = self.shared.acceptor.clone() else { return };
                let Ok(stream) = acceptor.accept(plain.into_inner()).await else { return };
                self.note(|seen| seen.is_tls = true);
                let mut stream = BufReader::new(stream);
                self.serve(&mut stream).await;
                // A client that is still writing must not see a reset in place of the end.
                drop(stream.shutdown().await);
            }
        }
    }

    async fn serve<S>(&mut self, stream: &mut BufReader<S>) -> Next
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let mut line = Vec::new();
            match stream.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return Next::Over,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            self.note(|seen| seen.lines.push(line.clone()));
            match self.react(stream, &line).await {
                Next::Line => {}
                next => return next,
            }
        }
    }

    /// Does what the script or custom wants on `line`.
    async fn react<S>(&mut self, stream: &mut BufReader<S>, line: &str) -> Next
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acts = self.script.acts(line);
        let acts = acts.unwrap_or_else(|| self.custom(line));
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        let reply_class = acts.iter().find_map(|act| match act {
            Act::Reply(reply) => reply.bytes().next(),
            _ => None,
        });
        match (verb.as_str(), reply_class) {
            ("MAIL", Some(b'2')) => self.envelope = vec![line.to_owned()],
            ("RCPT", Some(b'2')) => self.envelope.push(line.to_owned()),
            ("RSET" | "EHLO", _) => self.envelope.clear(),
            _ => {}
        }
        for act in acts {
            match act {
                Act::Reply(text) if text.contains("{offers}") => {
                    let text = self.offers();
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return Next::Over;
                    }
                }
                Act::Reply(text) => {
                    if stream.write_all(format!("{text}\r\n").as_bytes()).await.is_err() {
                        return Next::Over;
                    }
                }
                Act::Raw(text) => {
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return Next::Over;
                    }
                }
                Act::Read => {
                    drop(stream.flush().await);
                    let octets = stream.fill_buf().await.map_or(0, <[u8]>::len);
                    stream.consume(octets);
                }
                Act::Close => {
                    drop(stream.flush().await);
                    return Next::Over;
                }
                Act::Reset => return Next::Reset,
                Act::Stall => {
                    drop(stream.flush().await);
                    drop(tokio::io::copy(stream, &mut tokio::io::sink()).await);
                    return Next::Over;
                }
                Act::Pause => {
                    drop(stream.flush().await);
                    self.shared.go_on.acquire().await.unwrap().forget();
                }
                Act::Handshake => return Next::Handshake,
            }
        }
        if stream.flush().await.is_err() {
            return Next::Over;
        }
        let is_content = verb == "DATA" && reply_class == Some(b'3');
        if is_content { Box::pin(self.content(stream)).await } else { Next::Line }
    }

    async fn content<S>(&mut self, stream: &mut BufReader<S>) -> Next
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut content = Vec::new();
        loop {
            let mut line = Vec::new();
            match stream.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return Next::Over,
                Ok(_) if line == b".\r\n" => break,
                Ok(_) => content.extend(line.strip_prefix(b".").unwrap_or(&line)),
            }
        }
        let acts = self.script.acts(DOT).unwrap_or_else(|| self.custom(DOT));
        let is_taken =
            acts.iter().any(|act| matches!(act, Act::Reply(text) if text.starts_with('2')));
        let envelope = std::mem::take(&mut self.envelope);
        self.note(|seen| {
            seen.lines.push(DOT.to_owned());
            if is_taken {
                seen.messages.push(Message { envelope, content });
            }
        });
        // The acts go first in line for the one reaction to this dot.
        self.script.rules.insert(0, Rule { prefix: DOT, times_left: 1, acts });
        let next = self.react(stream, DOT).await;
        self.script.rules.remove(0);
        next
    }

    fn offers(&self) -> String {
        let is_tls = self.shared.seen.lock().get(self.index).is_some_and(|seen| seen.is_tls);
        let mut lines = vec!["peer.example"];
        lines.extend(&self.script.offers);
        if self.shared.acceptor.is_some() && !is_tls {
            lines.push("STARTTLS");
        }
        let last = lines.len() - 1;
        let write = |(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' });
        lines.into_iter().enumerate().map(write).collect()
    }

    fn custom(&self, line: &str) -> Vec<Act> {
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        let reply = match verb.as_str() {
            "CONN" => "220 peer.example ESMTP",
            "EHLO" => "250 {offers}",
            "MAIL" => "250 2.1.0 sender ok",
            "RCPT" => "250 2.1.5 recipient ok",
            "DATA" => "354 go ahead",
            "." => "250 2.0.0 taken",
            "STAR" if self.shared.acceptor.is_some() => {
                return vec![Act::Reply("220 2.0.0 go ahead"), Act::Raw(""), Act::Handshake];
            }
            "QUIT" => return vec![Act::Reply("221 2.0.0 bye"), Act::Close],
            "HELO" | "RSET" | "NOOP" => "250 2.0.0 ok",
            _ => "500 5.5.2 what?",
        };
        vec![Act::Reply(reply)]
    }
}
