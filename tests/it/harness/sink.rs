//! A next hop that keeps every octet it gets and fails exactly as a script says.
//!
//! Threads and blocking sockets, none of the product's code: what it records is what was on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::letter::letter_id;
use crate::harness::wait::{PATIENCE, within};

/// The places where a script may interfere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Greeting,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    /// The first line of the content has come.
    Body,
    /// The end of the content has come.
    Dot,
    Rset,
    Quit,
    Other,
}

/// What has just come, as a script sees it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) stage: Stage,
    /// Counts from 1 over the sink's life.
    pub(crate) connection: u32,
    /// MAIL commands that came so far on all connections.
    pub(crate) transaction: u32,
    /// The command line without its end.
    pub(crate) line: String,
}

/// What a script wants done.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The ordinary answer.
    Go,
    /// This reply (one line) instead; its first digit decides what follows from it.
    Say(String),
    /// This reply, and the end of the connection.
    SayAndClose(String),
    /// The end of the connection without a word.
    Close,
    /// No answer any more, until the peer closes or the sink ends.
    Stall,
}

pub(crate) fn say(reply: &str) -> Act {
    Act::Say(reply.to_owned())
}

type Script = Arc<dyn Fn(&Event) -> Act + Send + Sync>;

/// One message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// What stood between `<` and `>` of MAIL.
    pub(crate) sender: String,
    /// What stood behind `>` of MAIL.
    pub(crate) mail_parameters: String,
    /// The accepted recipients, without brackets.
    pub(crate) recipients: Vec<String>,
    /// Without dot stuffing and without the final dot.
    pub(crate) content: Arc<[u8]>,
    /// The id of the letter, read once.
    id: Option<String>,
    /// What the dot was answered with (empty: nothing).
    pub(crate) reply: String,
    pub(crate) at: Instant,
}

impl Received {
    pub(crate) fn is_accepted(&self) -> bool {
        // Strictly: a reply that is none is no acceptance.
        let mut octets = self.reply.bytes();
        octets.next() == Some(b'2')
            && octets.by_ref().take(2).filter(u8::is_ascii_digit).count() == 2
            && octets.next().is_none_or(|octet| octet == b' ')
    }

    pub(crate) fn id(&self) -> Option<String> {
        self.id.clone()
    }
}

/// Everything that a sink has seen.
#[derive(Default, Debug)]
struct Seen {
    messages: Vec<Received>,
    /// Connection number and line, in order of arrival.
    commands: Vec<(u32, String)>,
    connections: u32,
    /// Where each connection came from.
    peers: Vec<IpAddr>,
    transactions: u32,
    violations: Vec<String>,
    open: BTreeMap<u32, TcpStream>,
    /// How each ended connection ended: true if the peer closed it.
    closed_by_peer: BTreeMap<u32, bool>,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    script: Mutex<Script>,
    extensions: Mutex<Vec<String>>,
    stopping: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("a sink that has not panicked")
    }

    fn change(&self, with: impl FnOnce(&mut Seen)) {
        with(&mut self.seen());
        self.changed.notify_all();
    }
}

/// The next hop itself; dropping it closes everything.
pub(crate) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Sink {
    /// Takes everything.
    pub(crate) fn start() -> Self {
        Self::scripted(|_| Act::Go)
    }

    pub(crate) fn scripted(script: impl Fn(&Event) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, script)
    }

    /// Listens where a test has already bound.
    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&Event) -> Act + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a bound listener");
        let extensions = ["PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            changed: Condvar::new(),
            script: Mutex::new(Arc::new(script)),
            extensions: Mutex::new(extensions.map(str::to_owned).to_vec()),
            stopping: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let accepting = thread::spawn(move || accept(&listener, &theirs));
        Self { address, shared, accepting: Some(accepting) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another script for all that comes from now on.
    pub(crate) fn set_script(&self, script: impl Fn(&Event) -> Act + Send + Sync + 'static) {
        *self.shared.script.lock().expect("a script") = Arc::new(script);
    }

    /// The EHLO keywords of connections to come.
    pub(crate) fn set_extensions(&self, extensions: &[&str]) {
        let list = extensions.iter().map(|&keyword| keyword.to_owned()).collect();
        *self.shared.extensions.lock().expect("extensions") = list;
    }

    /// Everything that came with content, answered in whatever way.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.shared.seen().messages.clone()
    }

    /// Everything that was answered with 2xx.
    pub(crate) fn accepted(&self) -> Vec<Received> {
        let seen = self.shared.seen();
        seen.messages.iter().filter(|message| message.is_accepted()).cloned().collect()
    }

    /// The letters that were answered with 2xx.
    pub(crate) fn accepted_ids(&self) -> BTreeSet<String> {
        let seen = self.shared.seen();
        let accepted = seen.messages.iter().filter(|message| message.is_accepted());
        accepted.filter_map(Received::id).collect()
    }

    /// Waits until all these letters were accepted.
    #[track_caller]
    pub(crate) fn wait_letters<'a>(&self, ids: impl IntoIterator<Item = &'a String> + Clone) {
        let all = within(2 * PATIENCE, || {
            let arrived = self.accepted_ids();
            ids.clone().into_iter().all(|id| arrived.contains(id)).then_some(())
        });
        if all.is_none() {
            let arrived = self.accepted_ids();
            let missing: Vec<&String> =
                ids.into_iter().filter(|id| !arrived.contains(*id)).collect();
            panic!("{} letters never arrived: {missing:?}", missing.len());
        }
    }

    /// How many lines began so.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let seen = self.shared.seen();
        seen.commands.iter().filter(|(_, line)| line.starts_with(prefix)).count()
    }

    pub(crate) fn connections(&self) -> u32 {
        self.shared.seen().connections
    }

    /// Where each connection came from, in their order.
    pub(crate) fn peers(&self) -> Vec<IpAddr> {
        self.shared.seen().peers.clone()
    }

    /// Connections that the peer has closed.
    pub(crate) fn closed_by_peer(&self) -> usize {
        self.shared.seen().closed_by_peer.values().filter(|&&by_peer| by_peer).count()
    }

    /// Closes all open connections without a word, as a server does with idle ones.
    pub(crate) fn close_connections(&self) {
        let open = std::mem::take(&mut self.shared.seen().open);
        for stream in open.into_values() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Waits until `count` messages were accepted, and gives them.
    #[track_caller]
    pub(crate) fn wait_accepted(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} accepted messages");
        self.wait_seen(&what, |seen| {
            seen.messages.iter().filter(|message| message.is_accepted()).count() >= count
        });
        self.accepted()
    }

    /// Waits until `count` command lines began with `prefix`.
    #[track_caller]
    pub(crate) fn wait_command(&self, prefix: &str, count: usize) {
        self.wait_seen(&format!("{count} × {prefix}"), |seen| {
            seen.commands.iter().filter(|(_, line)| line.starts_with(prefix)).count() >= count
        });
    }

    #[track_caller]
    fn wait_seen(&self, what: &str, ready: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut seen = self.shared.seen();
        while !ready(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (messages, commands) = (seen.messages.len(), seen.commands.clone());
                drop(seen);
                panic!("waited in vain for {what}; {messages} messages, commands {commands:?}");
            }
            seen = self.shared.changed.wait_timeout(seen, left).expect("a sink").0;
        }
    }

    /// Fails if the client broke the protocol anywhere.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let violations = self.shared.seen().violations.clone();
        assert!(violations.is_empty(), "the client broke the protocol: {violations:?}");
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        self.close_connections();
        // Wakes the accept call, which sees the flag.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let Ok(copy) = stream.try_clone() else { return };
            let mut number = 0;
            shared.change(|seen| {
                seen.connections += 1;
                seen.peers.extend(copy.peer_addr().ok().map(|peer| peer.ip()));
                number = seen.connections;
                seen.open.insert(number, copy);
            });
            let mut session = Session::new(number, stream, &shared);
            // Any error is the end of this connection and nothing else.
            let by_peer = session.serve().is_err_and(|end| end == End::Peer);
            drop(session);
            shared.change(|seen| {
                seen.open.remove(&number);
                seen.closed_by_peer.insert(number, by_peer);
            });
        });
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Peer,
    Own,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Peer
    }
}

struct Session<'a> {
    number: u32,
    reader: BufReader<TcpStream>,
    /// Replies not yet sent, so that a pipelined burst is answered at once.
    unsent: Vec<u8>,
    shared: &'a Shared,
    envelope: Option<Envelope>,
}

#[derive(Default)]
struct Envelope {
    sender: String,
    parameters: String,
    recipients: Vec<String>,
    /// BDAT chunks so far.
    chunks: Vec<u8>,
}

impl<'a> Session<'a> {
    fn new(number: u32, stream: TcpStream, shared: &'a Shared) -> Self {
        stream.set_nodelay(true).ok();
        stream.set_read_timeout(Some(Duration::from_mins(2))).ok();
        Self { number, reader: BufReader::new(stream), unsent: Vec::new(), shared, envelope: None }
    }

    fn serve(&mut self) -> Result<(), End> {
        self.answer(Stage::Greeting, "", "220 sink.test ESMTP")?;
        loop {
            if self.reader.buffer().is_empty() {
                self.flush()?;
            }
            let line = self.read_line()?;
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            if !line.ends_with(b"\r\n") || line.len() > 2048 {
                self.violation(format!("a bad command line: {}", line.escape_ascii()));
            }
            let number = self.number;
            self.shared.change(|seen| seen.commands.push((number, text.clone())));
            self.command(&text)?;
        }
    }

    fn command(&mut self, text: &str) -> Result<(), End> {
        let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" => self.greet(text, &verb),
            "MAIL" => self.mail(text),
            "RCPT" => self.rcpt(text),
            "DATA" => self.data(text),
            "BDAT" => self.bdat(text),
            "RSET" => {
                self.envelope = None;
                self.answer(Stage::Rset, text, "250 2.0.0 reset").map(drop)
            }
            "QUIT" => {
                self.answer(Stage::Quit, text, "221 2.0.0 bye")?;
                self.flush()?;
                Err(End::Own)
            }
            "NOOP" => self.answer(Stage::Other, text, "250 2.0.0 ok").map(drop),
            _ => self.answer(Stage::Other, text, "502 5.5.1 not here").map(drop),
        }
    }

    fn greet(&mut self, text: &str, verb: &str) -> Result<(), End> {
        self.nothing_behind(text);
        self.envelope = None;
        let mut reply = String::from("250 sink.test");
        if verb == "EHLO" {
            let extensions = self.shared.extensions.lock().expect("extensions").clone();
            reply = lines_of(&extensions);
        }
        self.answer(Stage::Ehlo, text, &reply).map(drop)
    }

    fn mail(&mut self, text: &str) -> Result<(), End> {
        self.shared.change(|seen| seen.transactions += 1);
        if self.envelope.is_some() {
            self.violation(format!("a nested {text}"));
        }
        let (sender, parameters) = path(text);
        if self.answer(Stage::Mail, text, "250 2.1.0 sender ok")?.starts_with('2') {
            self.envelope = Some(Envelope { sender, parameters, ..Envelope::default() });
        }
        Ok(())
    }

    fn rcpt(&mut self, text: &str) -> Result<(), End> {
        let (recipient, _) = path(text);
        let default =
            if self.envelope.is_some() { "250 2.1.5 recipient ok" } else { "503 5.5.1 MAIL first" };
        let reply = self.answer(Stage::Rcpt, text, default)?;
        if let (true, Some(envelope)) = (reply.starts_with('2'), &mut self.envelope) {
            envelope.recipients.push(recipient);
        }
        Ok(())
    }

    fn data(&mut self, text: &str) -> Result<(), End> {
        self.nothing_behind(text);
        let has_recipients =
            self.envelope.as_ref().is_some_and(|envelope| !envelope.recipients.is_empty());
        let default = if has_recipients { "354 go ahead" } else { "503 5.5.1 no valid recipients" };
        let reply = self.answer(Stage::Data, text, default)?;
        self.flush()?;
        if !reply.starts_with('3') {
            return Ok(());
        }
        let content = self.read_content()?;
        self.finish(content)
    }

    fn bdat(&mut self, text: &str) -> Result<(), End> {
        let mut words = text.split(' ').skip(1);
        let octets: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let is_last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let mut chunk = vec![0; octets];
        self.reader.read_exact(&mut chunk)?;
        let Some(envelope) = &mut self.envelope else {
            return self.answer(Stage::Other, text, "503 5.5.1 MAIL first").map(drop);
        };
        envelope.chunks.extend_from_slice(&chunk);
        if !is_last {
            return self.answer(Stage::Body, text, "250 2.0.0 chunk").map(drop);
        }
        let content = std::mem::take(&mut envelope.chunks);
        self.finish(content)
    }

    fn finish(&mut self, content: Vec<u8>) -> Result<(), End> {
        let envelope = self.envelope.take().unwrap_or_default();
        // The record comes first: a test that saw the reply must find the message.
        let event = self.event(Stage::Dot, ".");
        let act = self.act(&event);
        let reply = match &act {
            Act::Go => "250 2.0.0 taken".to_owned(),
            Act::Say(reply) | Act::SayAndClose(reply) => reply.clone(),
            Act::Close | Act::Stall => String::new(),
        };
        let message = Received {
            sender: envelope.sender,
            mail_parameters: envelope.parameters,
            recipients: envelope.recipients,
            id: letter_id(&content),
            content: content.into(),
            reply,
            at: Instant::now(),
        };
        self.shared.change(|seen| seen.messages.push(message));
        self.carry_out(act, "250 2.0.0 taken").map(drop)
    }

    /// The content of DATA. Only CRLF.CRLF ends it, and only CRLF ends a line.
    fn read_content(&mut self) -> Result<Vec<u8>, End> {
        let mut content = Vec::new();
        let mut at_line_start = true;
        let mut is_first = true;
        loop {
            let line = self.read_line()?;
            if std::mem::take(&mut is_first) {
                let event = self.event(Stage::Body, "");
                match self.act(&event) {
                    Act::Go => {}
                    act => drop(self.carry_out(act, "")?),
                }
            }
            if at_line_start && line == b".\r\n" {
                return Ok(content);
            }
            let is_whole = line.ends_with(b"\r\n");
            let text = line.strip_suffix(b"\r\n").unwrap_or(&line);
            if !is_whole || text.contains(&b'\r') {
                self.violation(format!("a bare CR or LF: {}", line.escape_ascii()));
            }
            let stuffed = at_line_start && line.first() == Some(&b'.');
            content.extend_from_slice(&line[usize::from(stuffed)..]);
            at_line_start = is_whole;
        }
    }

    fn read_line(&mut self) -> Result<Vec<u8>, End> {
        let mut line = Vec::new();
        let count = self.reader.read_until(b'\n', &mut line)?;
        if count == 0 { Err(End::Peer) } else { Ok(line) }
    }

    fn event(&self, stage: Stage, line: &str) -> Event {
        let transaction = self.shared.seen().transactions;
        Event { stage, connection: self.number, transaction, line: line.to_owned() }
    }

    fn act(&self, event: &Event) -> Act {
        let script = Arc::clone(&self.shared.script.lock().expect("a script"));
        script(event)
    }

    /// Asks the script and answers; gives the reply that went out.
    fn answer(&mut self, stage: Stage, line: &str, default: &str) -> Result<String, End> {
        let event = self.event(stage, line);
        let act = self.act(&event);
        self.carry_out(act, default)
    }

    fn carry_out(&mut self, act: Act, default: &str) -> Result<String, End> {
        let reply = match act {
            Act::Go => default.to_owned(),
            Act::Say(reply) => reply,
            Act::SayAndClose(reply) => {
                self.say(&reply);
                self.flush()?;
                return Err(End::Own);
            }
            Act::Close => {
                self.flush()?;
                return Err(End::Own);
            }
            Act::Stall => {
                self.flush()?;
                return Err(self.stall());
            }
        };
        self.say(&reply);
        if matches!(reply.get(..3), Some("220" | "354")) {
            self.flush()?;
        }
        Ok(reply)
    }

    /// Says nothing more; ends when the peer does.
    fn stall(&mut self) -> End {
        let mut buffer = [0; 4096];
        loop {
            match self.reader.get_mut().read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return End::Peer,
            }
        }
    }

    fn say(&mut self, reply: &str) {
        self.unsent.extend_from_slice(reply.as_bytes());
        self.unsent.extend_from_slice(b"\r\n");
    }

    fn flush(&mut self) -> Result<(), End> {
        let unsent = std::mem::take(&mut self.unsent);
        self.reader.get_mut().write_all(&unsent)?;
        Ok(())
    }

    /// RFC 2920 §3.1: EHLO and DATA are the last commands of a group.
    fn nothing_behind(&mut self, text: &str) {
        if !self.reader.buffer().is_empty() {
            self.violation(format!("pipelined behind {text}"));
        }
    }

    fn violation(&self, what: String) {
        self.shared.change(|seen| seen.violations.push(what));
    }
}

fn lines_of(extensions: &[String]) -> String {
    let mut lines = vec!["sink.test".to_owned()];
    lines.extend_from_slice(extensions);
    let last = lines.len() - 1;
    let numbered = lines.iter().enumerate().map(|(place, line)| {
        let mark = if place == last { ' ' } else { '-' };
        format!("250{mark}{line}")
    });
    numbered.collect::<Vec<_>>().join("\r\n")
}

/// What stands in the brackets, and what behind them.
fn path(text: &str) -> (String, String) {
    let inner = text.split_once('<').map_or("", |(_, rest)| rest);
    let (address, rest) = inner.rsplit_once('>').unwrap_or((inner, ""));
    (address.to_owned(), rest.trim().to_owned())
}
