//! Plays the conversations of `tests/*.smtp`, each whole and octet by octet.
//!
//! A file is one conversation; its first line says whose side is under test: `server` or `client`. Blank lines and lines
//! that start with `#` say nothing. Escapes in texts: `\r \n \0 \t \\ \xNN`, `{text*count}` repeats, and a last `\c`
//! leaves out the CRLF.
//!
//! Both sides: `C:` what the client says, `S:` what the server says; what comes from the side under test must be so, line
//! by line. Lines of the other side in a row come in one burst. `+300s` lets time pass.
//!
//! Server: `limit: name=value …` (before all else), `offer: EXTENSION[=value] -EXTENSION …` (same; it is
//! 2026-11-21T18:46:00Z), `logins: mechanisms` takes them (same, and behind `secured`), `login: reply` is the driver's next
//! word in a login (`334-` for a challenge without text), `tls: offered|required|implicit` (same), `proxy: listed` (same),
//! `greeting: reply` (same), `secured` (the handshake is done), `policy: reply` refuses the next question,
//! `spool: reply` fails the next commit, `write: reply` fails now, `stop`, `end` (the client sends no more); and what must
//! come of it: `message: sender -> recipients, octets`, `asked: what MAIL and RCPT asked for`, `auth: argument`,
//! `response: line`, `forget` (of a login), `content: text` (of that message), `client: what XCLIENT told`, `abandon`,
//! `handshake`, `close: Reason`.
//!
//! Client: `offers: EHLO lines;…`, `mail: sender -> recipients[; parameters]`, `rcpt: <recipient> parameters` (one more),
//! `body: text` (each a piece; before all else), `lmtp` (what is spoken instead of SMTP; before all else),
//! `drop` (the connection goes); and what must come of it: `answer: fate reply` for each recipient, `rest: places`,
//! `dead`, `over: Reuse|Close`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "in a test a panic is a finding"
)]

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::{
    Accepted, Address, BodyType, Envelope, MessageId, Origin, Recipient, Reply, ReversePath,
    Submitter, Timestamp,
};
use smtp_codec::{Command, ExtensionSet, MailParam, RcptParam};
use smtp_session::{client, server};

#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Bursts,
    Octets,
}

/// 2026-11-21T18:46:00Z.
const NOW_MILLIS: u64 = 1_795_286_760_000;

/// What the side under test said and did, not yet looked at.
#[derive(Default)]
struct Seen {
    wire: VecDeque<String>,
    events: VecDeque<String>,
    content: Vec<u8>,
}

impl Seen {
    fn said(&mut self, bytes: &[u8]) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let partial = match self.wire.back() {
            Some(line) if !line.ends_with('\n') => self.wire.pop_back().unwrap(),
            _ => String::new(),
        };
        self.wire.extend((partial + &text).split_inclusive('\n').map(str::to_owned));
    }
}

trait Side {
    fn set(&mut self, verb: &str, text: &str, now: Instant, seen: &mut Seen);
    fn hear(&mut self, bytes: Bytes, now: Instant, seen: &mut Seen);
    fn pass(&mut self, now: Instant, seen: &mut Seen);
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from")]
    Instant::now()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escape = rest.chars().next().unwrap();
                rest = &rest[1..];
                match escape {
                    'r' => out.push(b'\r'),
                    'n' => out.push(b'\n'),
                    '0' => out.push(0),
                    't' => out.push(b'\t'),
                    'x' => {
                        out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                        rest = &rest[2..];
                    }
                    other => out.push(other as u8),
                }
            }
            '{' => {
                let (inner, after) = rest.split_once('}').unwrap();
                let (text, count) = inner.rsplit_once('*').unwrap();
                out.extend_from_slice(&unescape(text).repeat(count.parse().unwrap()));
                rest = after;
            }
            _ => out.extend_from_slice(c.to_string().as_bytes()),
        }
    }
    out
}

fn wire_line(text: &str) -> Vec<u8> {
    match text.strip_suffix("\\c") {
        Some(text) => unescape(text),
        None => [unescape(text), b"\r\n".to_vec()].concat(),
    }
}

fn reply(text: &str) -> Reply {
    let (code, rest) = text.split_at(3);
    let (status, words) = rest.trim().split_once(' ').unwrap();
    Reply::new(code.parse().unwrap(), Some(status.parse().unwrap()), words)
}

fn path(text: &str) -> ReversePath {
    let inner = text.trim_start_matches('<').trim_end_matches('>');
    if inner.is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Address(Address::parse(inner).unwrap())
    }
}

struct Server {
    settings: server::Settings,
    security: server::Security,
    is_under_tls: bool,
    is_proxy: bool,
    greeting: Option<Reply>,
    session: Option<server::Session>,
    policy: Option<Reply>,
    logins: Option<String>,
    login: VecDeque<Reply>,
    spool: Option<Reply>,
    body: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        let settings = server::Settings {
            hostname: "relay.example".into(),
            message_octets_max: 10_000,
            recipients_max: 100,
            command_octets_max: 512,
            header_octets_max: 5000,
            text_line_octets_max: 2000,
            takes_nul: false,
            hops_max: 5,
            bad_commands_max: 5,
            idle_wait_max: Duration::from_mins(5),
            data_wait_max: Duration::from_mins(3),
            data_rate_min: 0,
            session_wait_max: Duration::from_hours(1),
            transactions_max: 100,
            offers: server::Offers::default(),
        };
        Self {
            settings,
            security: server::Security::default(),
            is_under_tls: false,
            is_proxy: false,
            greeting: None,
            session: None,
            policy: None,
            logins: None,
            login: VecDeque::new(),
            spool: None,
            body: Vec::new(),
        }
    }

    fn limit(&mut self, name: &str, value: &str) {
        let seconds = || Duration::from_secs(value.parse().unwrap());
        let settings = &mut self.settings;
        match name {
            "message_octets_max" => settings.message_octets_max = value.parse().unwrap(),
            "recipients_max" => settings.recipients_max = value.parse().unwrap(),
            "command_octets_max" => settings.command_octets_max = value.parse().unwrap(),
            "header_octets_max" => settings.header_octets_max = value.parse().unwrap(),
            "text_line_octets_max" => settings.text_line_octets_max = value.parse().unwrap(),
            "takes_nul" => settings.takes_nul = value.parse().unwrap(),
            "hops_max" => settings.hops_max = value.parse().unwrap(),
            "bad_commands_max" => settings.bad_commands_max = value.parse().unwrap(),
            "transactions_max" => settings.transactions_max = value.parse().unwrap(),
            "idle_wait_max" => settings.idle_wait_max = seconds(),
            "data_wait_max" => settings.data_wait_max = seconds(),
            "data_rate_min" => settings.data_rate_min = value.parse().unwrap(),
            "session_wait_max" => settings.session_wait_max = seconds(),
            other => panic!("no limit {other}"),
        }
    }

    fn offer(&mut self, word: &str) {
        use server::Extension as E;
        let offers = &mut self.settings.offers;
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let all = [
            E::EightBitMime,
            E::SmtpUtf8,
            E::Chunking,
            E::BinaryMime,
            E::Dsn,
            E::Auth,
            E::RequireTls,
            E::Limits,
            E::FutureRelease,
            E::DeliverBy,
            E::MtPriority,
        ];
        let named = |name: &str| all.into_iter().find(|it| it.keyword() == name).unwrap();
        if let Some(name) = name.strip_prefix("login:") {
            offers.extensions_by_login = offers.extensions_by_login.with(named(name));
            return;
        }
        if let Some(name) = name.strip_prefix('-') {
            offers.extensions = offers.extensions.without(named(name));
            return;
        }
        offers.extensions = offers.extensions.with(named(name));
        let seconds = || Duration::from_secs(value.parse().unwrap());
        match named(name) {
            E::FutureRelease => offers.hold_max = seconds(),
            E::DeliverBy => offers.deliver_by_min = seconds(),
            E::MtPriority => offers.priority_profile = value.into(),
            _ => assert_eq!(value, "", "{name} has no value"),
        }
    }

    fn session(&mut self, now: Instant) -> &mut server::Session {
        self.session.get_or_insert_with(|| {
            let settings = Arc::new(self.settings.clone());
            let session = match &self.greeting {
                Some(reply) => server::Session::refused(settings, reply, now),
                None => server::Session::new(settings, self.security, now),
            };
            let session = session.with_wall_clock(Timestamp::from_millis(NOW_MILLIS));
            let mut session = if self.is_proxy { session.with_xclient() } else { session };
            if let Some(mechanisms) = &self.logins {
                session.offer_logins(mechanisms.as_str().into());
            }
            if self.is_under_tls { session.under_tls() } else { session }
        })
    }

    fn run(&mut self, now: Instant, seen: &mut Seen) {
        while let Some(step) = self.session(now).next_step() {
            match step {
                server::Step::Send(bytes) => seen.said(&bytes),
                server::Step::Ask(question) => {
                    if question == server::Question::Content {
                        let transaction = self.session(now).transaction().unwrap();
                        assert!(!transaction.recipients.is_empty());
                        self.body.clear();
                    }
                    if let server::Question::Client(client) = &question {
                        seen.events.push_back(format!("client: {}", told(client)));
                    }
                    let verdict =
                        self.policy.take().map_or(server::Verdict::Accept, server::Verdict::Refuse);
                    self.session(now).decide(verdict, now);
                }
                server::Step::Login(said) => {
                    seen.events.push_back(match said {
                        server::Said::Auth(argument) => format!("auth: {}", short(&argument)),
                        server::Said::Response(line) => {
                            format!("response: {}", short(&String::from_utf8_lossy(&line)))
                        }
                    });
                    assert!(!self.session(now).wants_input());
                    let reply = self.login.pop_front().expect("a driver's word in a login");
                    let verdict = match reply.code() {
                        334 => server::LoginVerdict::Challenge(reply),
                        235 => server::LoginVerdict::Accept(reply),
                        _ => server::LoginVerdict::Refuse(reply),
                    };
                    self.session(now).login(verdict, now);
                }
                server::Step::ForgetLogin => seen.events.push_back("forget".into()),
                server::Step::Body(bytes) => {
                    assert!(!bytes.is_empty());
                    self.body.extend_from_slice(&bytes);
                }
                server::Step::Commit(transaction) => self.commit(*transaction, now, seen),
                server::Step::Abandon => {
                    self.body.clear();
                    seen.events.push_back("abandon".into());
                }
                server::Step::StartTls => {
                    seen.events.push_back("handshake".into());
                }
                server::Step::Close(reason) => seen.events.push_back(format!("close: {reason:?}")),
            }
        }
    }

    fn commit(&mut self, transaction: server::Transaction, now: Instant, seen: &mut Seen) {
        assert!(!self.session(now).wants_input());
        assert_eq!(transaction.octets, self.body.len() as u64);
        let recipients: Vec<_> = transaction
            .recipients
            .iter()
            .map(|recipient| format!("<{}>", recipient.address))
            .collect();
        seen.events.push_back(format!(
            "message: {} -> {}, {} octets",
            transaction.sender,
            recipients.join(" "),
            transaction.octets
        ));
        let asked = asked(&transaction);
        if !asked.is_empty() {
            seen.events.push_back(format!("asked: {}", asked.join(" ")));
        }
        seen.content.clone_from(&self.body);
        if let Some(reply) = self.spool.take() {
            self.session(now).not_stored(reply, now);
            return;
        }
        let origin = Origin {
            client: None,
            helo: transaction.helo,
            listener: "smtp".into(),
            connector: "test".into(),
            tls: None,
            login: None,
        };
        let envelope = Envelope {
            sender: transaction.sender,
            recipients: transaction.recipients,
            body_type: transaction.body_type,
            needs_smtputf8: transaction.needs_smtputf8,
            wishes: transaction.wishes,
            origin,
            directions: None,
        };
        let accepted = Accepted {
            id: MessageId::new(0, 0),
            envelope: Arc::new(envelope),
            received_at: Timestamp::default(),
            octets: transaction.octets,
        };
        self.session(now).stored(&accepted, now);
    }
}

/// What a proxy told of its client.
fn told(client: &server::Xclient) -> String {
    let address = client.address.map(|it| format!("address {it}"));
    let port = client.port.map(|it| format!("port {it}"));
    let text =
        |name: &str, text: &Option<Box<str>>| text.as_ref().map(|it| format!("{name} {it:?}"));
    let texts =
        [text("name", &client.name), text("helo", &client.helo), text("login", &client.login)];
    [address, port].into_iter().chain(texts).flatten().collect::<Vec<_>>().join(", ")
}

/// A long line by its length.
fn short(line: &str) -> String {
    match line.len() {
        0 => "nothing".to_owned(),
        1..=100 => line.to_owned(),
        octets => format!("{octets} octets"),
    }
}

/// What MAIL and RCPT asked for, in words.
fn asked(transaction: &server::Transaction) -> Vec<String> {
    let wishes = &transaction.wishes;
    let submitter = |submitter: &Submitter| match submitter {
        Submitter::Unknown => "AUTH=<>".to_owned(),
        Submitter::Address(address) => format!("AUTH={address}"),
    };
    let mut asked = vec![
        (transaction.body_type == BodyType::BinaryMime).then(|| "BINARYMIME".to_owned()),
        wishes.ret.map(|ret| format!("RET={ret:?}")),
        wishes.envelope_id.as_ref().map(|id| format!("ENVID={id}")),
        wishes.deliver_by.map(|by| {
            let trace = if by.is_traced { ",traced" } else { "" };
            format!("BY={},{:?}{trace}", by.at.rfc3339(), by.mode)
        }),
        wishes.hold_until.map(|at| format!("HOLD={}", at.rfc3339())),
        wishes.priority.map(|priority| format!("PRIORITY={priority}")),
        wishes.requires_tls.then(|| "REQUIRETLS".to_owned()),
        wishes.submitter.as_ref().map(submitter),
    ];
    for recipient in &transaction.recipients {
        let address = &recipient.address;
        asked.push(recipient.notify.map(|notify| format!("{address}:NOTIFY={notify}")));
        asked.push(recipient.original.as_ref().map(|it| format!("{address}:ORCPT={it:?}")));
    }
    asked.into_iter().flatten().collect()
}

impl Side for Server {
    fn set(&mut self, verb: &str, text: &str, now: Instant, seen: &mut Seen) {
        match verb {
            "limit" => {
                for pair in text.split(' ') {
                    let (name, value) = pair.split_once('=').unwrap();
                    self.limit(name, value);
                }
                return;
            }
            "offer" => {
                text.split(' ').for_each(|word| self.offer(word));
                return;
            }
            "tls" if text == "implicit" => {
                self.is_under_tls = true;
                return;
            }
            "tls" => {
                self.security =
                    server::Security { offers_starttls: true, requires_tls: text == "required" };
                return;
            }
            "proxy" => {
                self.is_proxy = true;
                return;
            }
            "greeting" => {
                self.greeting = Some(reply(text));
                return;
            }
            "logins" => {
                self.logins = Some(text.to_owned());
                if let Some(session) = &mut self.session {
                    session.offer_logins(text.into());
                }
                return;
            }
            "login" => {
                let challenge =
                    text.strip_prefix("334").map(|text| text.trim_start_matches(['-', ' ']));
                let challenge = challenge.map(|text| Reply::new(334, None, text));
                self.login.push_back(challenge.unwrap_or_else(|| reply(text)));
                return;
            }
            "policy" => self.policy = Some(reply(text)),
            "spool" => self.spool = Some(reply(text)),
            "write" => self.session(now).not_stored(reply(text), now),
            "secured" => self.session(now).tls_started(now),
            "stop" => self.session(now).shut_down(now),
            "end" => self.session(now).input_ended(now),
            other => panic!("no verb {other}"),
        }
        self.run(now, seen);
    }

    fn hear(&mut self, bytes: Bytes, now: Instant, seen: &mut Seen) {
        self.session(now).receive(bytes, now);
        self.run(now, seen);
    }

    fn pass(&mut self, now: Instant, seen: &mut Seen) {
        self.session(now).expire(now);
        self.run(now, seen);
    }
}

struct Client {
    outgoing: client::Outgoing,
    extensions: client::Extensions,
    body: VecDeque<Vec<u8>>,
    is_lmtp: bool,
    transaction: Option<client::Transaction>,
}

impl Client {
    fn new() -> Self {
        let outgoing = client::Outgoing {
            sender: ReversePath::Null,
            recipients: Vec::new(),
            octets: 0,
            body_type: BodyType::SevenBit,
            needs_smtputf8: false,
            wishes: Box::default(),
            now: Timestamp::from_millis(NOW_MILLIS),
        };
        let extensions = client::Extensions::default();
        Self { outgoing, extensions, body: VecDeque::new(), is_lmtp: false, transaction: None }
    }

    fn ask(&mut self, text: &str) {
        use server::Extension as E;
        let line = format!("MAIL FROM:<> {text}");
        let Ok(Command::Mail { params, .. }) = Command::parse(line.as_bytes()) else {
            panic!("no parameters: {text}")
        };
        let all = [
            E::EightBitMime,
            E::SmtpUtf8,
            E::Dsn,
            E::Auth,
            E::RequireTls,
            E::DeliverBy,
            E::MtPriority,
        ];
        let out = &mut self.outgoing;
        for param in params.mail(all.into_iter().collect()) {
            match param.unwrap() {
                MailParam::Body(body_type) => out.body_type = body_type,
                MailParam::SmtpUtf8 => out.needs_smtputf8 = true,
                MailParam::Ret(ret) => out.wishes.ret = Some(ret),
                MailParam::EnvelopeId(id) => out.wishes.envelope_id = Some(id),
                MailParam::Submitter(submitter) => out.wishes.submitter = Some(submitter),
                MailParam::RequireTls => out.wishes.requires_tls = true,
                MailParam::DeliverBy(by) => out.wishes.deliver_by = Some(by.from_now(out.now)),
                MailParam::Priority(priority) => out.wishes.priority = Some(priority),
                MailParam::Size(_) | MailParam::Hold(_) => panic!("not for a next hop: {text}"),
            }
        }
    }

    fn transaction(&mut self, now: Instant) -> &mut client::Transaction {
        let (outgoing, extensions) = (self.outgoing.clone(), self.extensions);
        let begin = if self.is_lmtp { client::Transaction::lmtp } else { client::Transaction::new };
        self.transaction
            .get_or_insert_with(|| begin(outgoing, extensions, client::Timeouts::default(), now))
    }

    fn run(&mut self, now: Instant, seen: &mut Seen) {
        while let Some(step) = self.transaction(now).next_step() {
            match step {
                client::Step::Send(bytes) => seen.said(&bytes),
                // A piece `wait` stands for a spool that has nothing yet.
                client::Step::NeedBody
                    if self.body.front().is_some_and(|piece| piece == b"wait") =>
                {
                    return;
                }
                client::Step::NeedBody => match self.body.pop_front() {
                    Some(piece) => self.transaction(now).body(Bytes::from(piece), now),
                    None => self.transaction(now).body_ended(now),
                },
                client::Step::Done(end) => {
                    for answer in end.recipients {
                        let by = if answer.is_remote { "" } else { "local " };
                        seen.events
                            .push_back(format!("answer: {} {by}{}", answer.fate, answer.reply));
                    }
                    if !end.retry_rest.is_empty() {
                        let places: Vec<_> = end.retry_rest.iter().map(usize::to_string).collect();
                        seen.events.push_back(format!("rest: {}", places.join(" ")));
                    }
                    if end.was_dead_before_first_reply {
                        seen.events.push_back("dead".into());
                    }
                    seen.events.push_back(format!("over: {:?}", end.connection));
                }
            }
        }
    }
}

impl Side for Client {
    fn set(&mut self, verb: &str, text: &str, now: Instant, seen: &mut Seen) {
        match verb {
            "offers" => {
                let lines = ["mx.example"].into_iter().chain(text.split(';').map(str::trim));
                self.extensions = client::Extensions::parse(lines);
                return;
            }
            "lmtp" => {
                self.is_lmtp = true;
                return;
            }
            "mail" => {
                let (paths, flags) = text.split_once(';').unwrap_or((text, ""));
                let (sender, recipients) = paths.split_once(" -> ").unwrap();
                self.outgoing.sender = path(sender);
                self.outgoing.recipients = recipients
                    .split_whitespace()
                    .map(|text| path(text).address().unwrap().clone().into())
                    .collect();
                self.ask(flags);
                return;
            }
            "rcpt" => {
                let line = format!("RCPT TO:{text}");
                let Ok(Command::Rcpt { path, params }) = Command::parse(line.as_bytes()) else {
                    panic!("no recipient: {text}")
                };
                let mut recipient = Recipient::from(path);
                for param in params.rcpt(ExtensionSet::default().with(server::Extension::Dsn)) {
                    match param.unwrap() {
                        RcptParam::Notify(notify) => recipient.notify = Some(notify),
                        RcptParam::Original(original) => recipient.original = Some(original),
                    }
                }
                self.outgoing.recipients.push(recipient);
                return;
            }
            "body" => {
                let piece = unescape(text);
                self.outgoing.octets += piece.len() as u64;
                self.body.push_back(piece);
                return;
            }
            "drop" => self.transaction(now).closed(now),
            other => panic!("no verb {other}"),
        }
        self.run(now, seen);
    }

    fn hear(&mut self, bytes: Bytes, now: Instant, seen: &mut Seen) {
        self.transaction(now).receive(&bytes, now);
        self.run(now, seen);
    }

    fn pass(&mut self, now: Instant, seen: &mut Seen) {
        self.transaction(now).expire(now);
        self.run(now, seen);
    }
}

/// What may stand before the conversation begins.
const SETTINGS: [&str; 11] = [
    "limit", "offer", "logins", "tls", "proxy", "greeting", "offers", "lmtp", "mail", "rcpt",
    "body",
];
/// What a side tells of itself.
const EVENTS: [&str; 13] = [
    "message",
    "asked",
    "client",
    "auth",
    "response",
    "forget",
    "abandon",
    "handshake",
    "close",
    "answer",
    "rest",
    "dead",
    "over",
];

fn play(name: &str, text: &str, cut: Cut) {
    let mut lines =
        text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (mut side, heard, said): (Box<dyn Side>, &str, &str) = match lines.next().unwrap().1 {
        "server" => (Box::new(Server::new()), "C", "S"),
        "client" => (Box::new(Client::new()), "S", "C"),
        other => panic!("{name}: neither server nor client: {other}"),
    };
    let (mut at, mut seen, mut burst) = (now(), Seen::default(), Vec::new());
    let mut is_begun = false;
    for (number, line) in lines {
        let place = format!(
            "{name}:{} ({})",
            number + 1,
            if cut == Cut::Bursts { "bursts" } else { "octets" }
        );
        let (verb, text) =
            line.split_once(':').map_or((line, ""), |(verb, text)| (verb, text.trim_start()));
        if !is_begun && !SETTINGS.contains(&verb) {
            is_begun = true;
            side.pass(at, &mut seen);
        }
        if verb == heard {
            assert!(seen.wire.is_empty(), "{place}: unexpected {:?}", seen.wire);
            burst.extend_from_slice(&wire_line(text));
            continue;
        }
        let heard = std::mem::take(&mut burst);
        let octets = if cut == Cut::Octets { 1 } else { heard.len().max(1) };
        for piece in heard.chunks(octets) {
            side.hear(Bytes::copy_from_slice(piece), at, &mut seen);
        }
        if verb == said {
            let want = String::from_utf8(wire_line(text)).unwrap();
            assert_eq!(seen.wire.pop_front(), Some(want), "{place}");
        } else if let Some(seconds) = verb.strip_prefix('+').and_then(|text| text.strip_suffix('s'))
        {
            assert!(seen.wire.is_empty(), "{place}: unexpected {:?}", seen.wire);
            at += Duration::from_secs(seconds.parse().unwrap());
            side.pass(at, &mut seen);
        } else if verb == "content" {
            assert_eq!(
                String::from_utf8_lossy(&seen.content),
                String::from_utf8_lossy(&unescape(text)),
                "{place}"
            );
        } else if EVENTS.contains(&verb) {
            assert_eq!(seen.events.pop_front().as_deref(), Some(line), "{place}");
        } else {
            side.set(verb, text, at, &mut seen);
        }
    }
    assert!(burst.is_empty(), "{name}: ends with unanswered lines");
    assert!(
        seen.wire.is_empty() && seen.events.is_empty(),
        "{name}: {:?} {:?}",
        seen.wire,
        seen.events
    );
}

#[test]
fn conversations_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut played = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "smtp") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            for cut in [Cut::Bursts, Cut::Octets] {
                play(&name, &text, cut);
            }
            played += 1;
        }
    }
    assert!(played >= 20, "only {played} conversations found");
}
