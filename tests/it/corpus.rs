//! Real and odd messages leave the relay as they came in, octet for octet, behind its trace header.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::letter::{assert_relayed, assert_same, letter, split_first_field};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Received, Sink};
use crate::harness::smtp::{Smtp, stuffed};

/// Where the corpus lies.
pub(crate) fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus")
}

/// A file of the corpus with the line ends that SMTP demands.
pub(crate) fn read_message(path: &Path) -> Vec<u8> {
    let octets = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut message = Vec::with_capacity(octets.len() + octets.len() / 20);
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        message.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// How a message is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Data,
    /// In three BDAT chunks, the last of which may be empty.
    Chunks,
    /// By DATA, in pieces of a few octets.
    Drip,
}

struct Case {
    name: String,
    content: Vec<u8>,
    way: Way,
}

impl Case {
    fn new(name: &str, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_owned(), content: content.into(), way: Way::Data }
    }

    fn by(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// What must arrive. The next hop gets DATA, which cannot end without CRLF (RFC 5321 §4.1.1.4).
    fn wanted(&self) -> Vec<u8> {
        let mut wanted = self.content.clone();
        if !wanted.is_empty() && !wanted.ends_with(b"\r\n") {
            wanted.extend_from_slice(b"\r\n");
        }
        wanted
    }
}

fn files(folder: &str) -> Vec<Case> {
    let folder_path = corpus_folder().join(folder);
    let entries = fs::read_dir(&folder_path).expect("the corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "txt" || end == "msg"));
    paths.sort();
    let case = |path: &PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy();
        Case::new(&format!("{folder}-{name}"), read_message(path))
    };
    paths.iter().map(case).collect()
}

/// Pseudo-random octets that are legal in a body: no NUL, CR or LF but at the ends of lines.
fn junk(octets: usize) -> Vec<u8> {
    let mut content = b"Subject: junk\r\n\r\n".to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut column = 0;
    while content.len() < octets {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let octet = state.to_be_bytes()[0];
        if !matches!(octet, 0 | b'\r' | b'\n') {
            content.push(octet);
            column += 1;
        }
        if column == 900 {
            content.extend_from_slice(b"\r\n");
            column = 0;
        }
    }
    content.extend_from_slice(b"\r\n");
    content
}

fn odd_headers() -> Vec<Case> {
    let fields: Vec<String> =
        (0..1000).map(|number| format!("X-Field-{number}: value {number}\r\n")).collect();
    let thousand = fields.concat();
    vec![
        Case::new(
            "space-before-colon",
            "From: a@b.example\r\nName : v\r\nSubject : s\r\n\r\nbody\r\n",
        ),
        Case::new(
            "from-line",
            "From ana@sender.example Thu Aug 20 10:00:00 2026\r\nSubject: x\r\n\r\nbody\r\n",
        ),
        Case::new(
            "escaped-from-line",
            ">From ana@sender.example Thu Aug 20\r\nSubject: x\r\n\r\nbody\r\n",
        ),
        Case::new("thousand-fields", format!("From: a@b.example\r\n{thousand}\r\nbody\r\n")),
        Case::new(
            "folded",
            "Subject: one\r\n two\r\n\tthree\r\n \r\n  four  \r\nX-Empty:\r\nX-Space: \r\n\r\nbody\r\n",
        ),
        Case::new("no-colon", "this is no field at all\r\nSubject: x\r\n\r\nbody\r\n"),
        Case::new(
            "twice",
            "Subject: a\r\nSubject: b\r\nFrom: a@b.example\r\nFrom: c@d.example\r\n\r\nbody\r\n",
        ),
        Case::new(
            "lower-case",
            "subject:x\r\nfrom:a@b.example\r\nrECEIVED: by nobody; never\r\n\r\nbody\r\n",
        ),
        Case::new(
            "eight-bit-field",
            "Subject: gr\u{fc}\u{df}e \u{4f60}\u{597d}\r\nX-Latin: \r\n\r\nbody\r\n",
        ),
        Case::new(
            "latin-field",
            b"Subject: gr\xfc\xdfe\r\nFrom: J\xf6rg <j@x.example>\r\n\r\n\xe4\xf6\xfc\r\n".to_vec(),
        ),
        Case::new("long-field", format!("Subject: {}\r\n\r\nbody\r\n", "s".repeat(900))),
        Case::new("only-header", "Subject: no empty line behind it\r\n"),
        Case::new("only-header-and-empty-line", "Subject: x\r\n\r\n"),
        Case::new("only-body", "\r\nno header at all\r\n"),
        Case::new("only-empty-lines", "\r\n\r\n\r\n"),
        Case::new("empty", ""),
    ]
}

fn odd_bodies() -> Vec<Case> {
    let head = "From: a@b.example\r\nSubject: x\r\n\r\n";
    let with = |body: &str| format!("{head}{body}");
    vec![
        Case::new("dots", with(".\r\n..\r\n...\r\n.a\r\na.\r\n. \r\n.\r\n\r\n.\r\n")),
        Case::new("dots-dripped", with(".\r\n..\r\n.\r\n\r\n.b\r\n")).by(Way::Drip),
        Case::new("dots-in-chunks", with(".\r\n..\r\n.\r\n")).by(Way::Chunks),
        Case::new("first-line-is-a-dot", ".\r\n.\r\n"),
        Case::new("no-final-newline", with("the end")).by(Way::Chunks),
        Case::new("no-final-newline-behind-a-dot", with("the end\r\n.")).by(Way::Chunks),
        Case::new("header-without-newline", "Subject: x").by(Way::Chunks),
        Case::new("empty-in-chunks", "").by(Way::Chunks),
        Case::new("trailing-space", with("a \t\r\n \r\n\t\r\n\r\n\r\n")),
        Case::new("control-octets", with("\u{1}\u{8}\u{b}\u{c}\u{1b}[31m\u{7f}\r\n")),
        Case::new("eight-bit", with("na\u{ef}ve caf\u{e9} \u{1f4ec}\r\n")),
        Case::new("junk", junk(40_000)),
        Case::new("junk-in-chunks", junk(300_000)).by(Way::Chunks),
        Case::new("line-of-998", with(&format!("{}\r\n", "x".repeat(998)))),
        Case::new("line-of-2000", with(&format!("{}\r\n", "x".repeat(2000)))),
        Case::new("line-of-100000", with(&format!("{}\r\nnext\r\n", "y".repeat(100_000)))),
        Case::new("smuggling-look-alike", with("a\r\n .\r\nMAIL FROM:<x@y.example>\r\nQUIT\r\n")),
    ]
}

fn send(session: &mut Smtp, case: &Case) {
    let name = &case.name;
    session.expect(&format!("MAIL FROM:<{name}@sender.example> BODY=8BITMIME"), 250);
    session.expect(&format!("RCPT TO:<{name}@receiver.example>"), 250);
    match case.way {
        Way::Data | Way::Drip => {
            session.expect("DATA", 354);
            let wire = stuffed(&case.content);
            if case.way == Way::Data {
                session.send(&wire);
            } else {
                for piece in wire.chunks(3) {
                    session.send(piece);
                }
            }
        }
        Way::Chunks => {
            let (first, second) = case.content.split_at(case.content.len() / 3);
            session.send(format!("BDAT {}\r\n", first.len()).as_bytes());
            session.send(first);
            assert_eq!(session.read_reply().code, 250, "{name}");
            session.send(format!("BDAT {}\r\n", second.len()).as_bytes());
            session.send(second);
            assert_eq!(session.read_reply().code, 250, "{name}");
            session.send(b"BDAT 0 LAST\r\n");
        }
    }
    let reply = session.read_reply();
    assert_eq!(reply.code, 250, "{name}: {reply:?}");
}

fn relayed(settings: impl FnOnce(Settings) -> Settings, cases: &[Case]) {
    let sink = Sink::start();
    let relay = Relay::start(settings(Settings::towards(sink.address())));
    let mut session = relay.session();
    for case in cases {
        send(&mut session, case);
    }
    session.quit();
    let received = sink.wait_accepted(cases.len());
    let by_recipient: BTreeMap<&str, &Received> =
        received.iter().map(|message| (message.recipients[0].as_str(), message)).collect();
    for case in cases {
        let name = &case.name;
        let message = by_recipient[format!("{name}@receiver.example").as_str()];
        assert_eq!(message.sender, format!("{name}@sender.example"));
        assert_relayed(name, &message.content, &case.wanted());
    }
    assert_eq!(received.len(), cases.len(), "each message once");
    sink.assert_clean();
}

#[test]
fn cpython_email_messages_pass_unchanged() {
    let cases = files("cpython");
    assert_eq!(cases.len(), 48);
    relayed(|settings| settings, &cases);
}

#[test]
fn spamassassin_samples_pass_unchanged() {
    let cases = files("spamassassin");
    assert_eq!(cases.len(), 2);
    relayed(|settings| settings, &cases);
}

#[test]
fn odd_headers_pass_unchanged() {
    relayed(|settings| settings, &odd_headers());
}

#[test]
fn odd_bodies_pass_unchanged() {
    relayed(|settings| settings, &odd_bodies());
}

/// Bodies this large take the other way through the spool, in both directions.
#[test]
fn large_messages_pass_unchanged() {
    let mut cases: Vec<Case> = [60_000, 70_000, 300_000, 5_000_000]
        .map(|octets| Case::new(&format!("large-{octets}"), letter("large", octets)))
        .into();
    cases.push(Case::new("large-in-chunks", letter("large", 3_000_000)).by(Way::Chunks));
    relayed(|settings| settings, &cases);
}

/// The way through the spool's files is also taken when the kernel has no `io_uring`.
#[test]
fn large_messages_pass_unchanged_without_io_uring() {
    let cases =
        [Case::new("large", letter("large", 3_000_000)), Case::new("small", letter("small", 900))];
    relayed(|settings| settings.set("spool.body_io", "threads"), &cases);
}

/// After a restart the body comes from the device and not from the cache of warm bodies.
#[test]
fn what_is_read_back_from_the_device_is_unchanged() {
    let sink =
        Sink::scripted(|_| crate::harness::sink::Act::SayAndClose("421 4.3.2 later".to_owned()));
    let mut relay = Relay::towards(sink.address());
    let cases: Vec<Case> = odd_bodies().into_iter().chain(files("spamassassin")).collect();
    let mut session = relay.session();
    for case in &cases {
        send(&mut session, case);
    }
    session.quit();
    relay.kill();
    relay.restart();
    sink.set_script(|_| crate::harness::sink::Act::Go);
    let received = sink.wait_accepted(cases.len());
    for case in &cases {
        let name = &case.name;
        let address = format!("{name}@receiver.example");
        let message = received.iter().find(|message| message.recipients[0] == address);
        assert_relayed(name, &message.expect(name).content, &case.wanted());
    }
    sink.assert_clean();
}

/// RFC 5321 §4.4: who, by whom, how, id, date; recipients stay secret when there are several.
#[test]
fn the_trace_header_tells_what_the_rfc_wants() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let content = letter("trace", 500);
    relay.submit("a@sender.example", &["one@receiver.example"], &content);
    relay.submit("a@sender.example", &["two@receiver.example", "three@receiver.example"], &content);
    let mut fields = BTreeMap::new();
    for message in sink.wait_accepted(2) {
        let (field, rest) = split_first_field(&message.content);
        assert_same("content", rest, &content);
        fields.insert(message.recipients.len(), String::from_utf8_lossy(field).into_owned());
    }
    for field in fields.values() {
        let flat = field.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("from client.test "), "{field}");
        assert!(flat.contains("[127.0.0.1]"), "{field}");
        assert!(flat.contains("by relay.test"), "{field}");
        assert!(flat.contains("with ESMTP"), "{field}");
        assert!(flat.contains(" id "), "{field}");
        let date = flat.rsplit_once(';').expect("a date").1.trim();
        assert!(mail_date(date), "{field}");
        assert!(field.lines().all(|line| line.len() <= 78), "{field}");
    }
    assert!(fields[&1].contains("for <one@receiver.example>"), "{}", fields[&1]);
    assert!(!fields[&2].contains("receiver.example"), "{}", fields[&2]);
}

/// Whether it looks like `Fri, 21 Aug 2026 10:00:00 +0000`.
fn mail_date(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [day, date, month, year, time, zone, ..] = words.as_slice() else { return false };
    ["Mon,", "Tue,", "Wed,", "Thu,", "Fri,", "Sat,", "Sun,"].contains(day)
        && date.parse::<u8>().is_ok_and(|date| (1..=31).contains(&date))
        && month.len() == 3
        && year.len() == 4
        && time.len() == 8
        && zone.len() == 5
        && (zone.starts_with('+') || zone.starts_with('-'))
}
