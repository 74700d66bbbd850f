//! What the server says to each command in each state.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is a finding")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::Reply;
use smtp_session::server::{
    LoginVerdict, Offers, Question, Said, Security, Session, Settings, Step, Verdict,
};

/// The states in which commands are read, and what leads there. `refused` stands where no recipient was taken, `failed`
/// behind a chunk that is at fault, `tls` behind a handshake, before EHLO. In all other states no command is read: in
/// content all is content, and while a question, a commit or a handshake is open the input waits.
const STATES: [(&str, &str); 10] = [
    ("turned", ""),
    ("no TLS", "EHLO a\r\n"),
    ("fresh", ""),
    ("idle", "EHLO a\r\n"),
    ("sender", "EHLO a\r\nMAIL FROM:<a@b>\r\n"),
    ("refused", "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<refused@b>\r\n"),
    ("rcpt", "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n"),
    ("chunks", "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 3\r\na\r\n"),
    ("failed", "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 3\r\na\n\n"),
    ("tls", "EHLO a\r\nSTARTTLS\r\n"),
];

/// Each command, and the first word or two of its reply in each of the states above.
const GRID: &[(&str, [&str; 10])] = &[
    (
        "EHLO a",
        ["503 5.5.1", "250", "250", "250", "250", "250", "250", "abandon, 250", "250", "250"],
    ),
    (
        "HELO a",
        ["503 5.5.1", "250", "250", "250", "250", "250", "250", "abandon, 250", "250", "250"],
    ),
    ("EHLO", ["501 5.5.4"; 10]),
    ("EHLO a b", ["501 5.5.4"; 10]),
    (
        "MAIL FROM:<a@b>",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "250 2.1.0",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    (
        "MAIL FROM:<refused@b>",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "550 5.7.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    (
        "MAIL FROM:<a@b> SIZE=1001",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "552 5.3.4",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    (
        "MAIL FROM:<a@b> BODY=BINARYMIME",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "504 5.5.4",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    (
        "MAIL FROM:<a@b> SIZE=1 SIZE=1",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "501 5.5.4",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    (
        "MAIL FROM:<a@b> AUTH=<>",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "250 2.1.0",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    ("MAIL FROM: <a@b>", ["501 5.5.4"; 10]),
    ("MAIL FROM:<a@b@c>", ["501 5.1.7"; 10]),
    (
        "RCPT TO:<a@b>",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "503 5.5.1",
            "250 2.1.5",
            "250 2.1.5",
            "250 2.1.5",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    (
        "RCPT TO:<refused@b>",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "503 5.5.1",
            "550 5.7.1",
            "550 5.7.1",
            "550 5.7.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    (
        "RCPT TO:<a@b> NOTIFY=NEVER",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "503 5.5.1",
            "555 5.5.4",
            "555 5.5.4",
            "555 5.5.4",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    ("RCPT TO:<>", ["501 5.1.3"; 10]),
    (
        "DATA",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "554 5.5.1",
            "354",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    ("DATA x", ["501 5.5.4"; 10]),
    (
        "BDAT 0",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "554 5.5.1",
            "250 2.0.0",
            "250 2.0.0",
            "554 5.6.0",
            "503 5.5.1",
        ],
    ),
    (
        "BDAT 0 LAST",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "554 5.5.1",
            "commit",
            "commit",
            "554 5.6.0",
            "503 5.5.1",
        ],
    ),
    ("BDAT x", ["501 5.5.4, close"; 10]),
    (
        "RSET",
        [
            "503 5.5.1",
            "530 5.7.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "abandon, 250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
        ],
    ),
    (
        "NOOP x",
        [
            "503 5.5.1",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
            "250 2.0.0",
        ],
    ),
    (
        "HELP",
        [
            "503 5.5.1",
            "530 5.7.0",
            "214 2.0.0",
            "214 2.0.0",
            "214 2.0.0",
            "214 2.0.0",
            "214 2.0.0",
            "214 2.0.0",
            "214 2.0.0",
            "214 2.0.0",
        ],
    ),
    (
        "VRFY a",
        [
            "503 5.5.1",
            "530 5.7.0",
            "252 2.5.0",
            "252 2.5.0",
            "252 2.5.0",
            "252 2.5.0",
            "252 2.5.0",
            "252 2.5.0",
            "252 2.5.0",
            "252 2.5.0",
        ],
    ),
    (
        "EXPN a",
        [
            "503 5.5.1",
            "530 5.7.0",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
        ],
    ),
    (
        "ETRN a",
        [
            "503 5.5.1",
            "530 5.7.0",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
            "502 5.5.1",
        ],
    ),
    (
        "XCLIENT ADDR=192.0.2.1",
        [
            "503 5.5.1",
            "530 5.7.0",
            "550 5.7.0",
            "550 5.7.0",
            "550 5.7.0",
            "550 5.7.0",
            "550 5.7.0",
            "550 5.7.0",
            "550 5.7.0",
            "550 5.7.0",
        ],
    ),
    (
        "AUTH PLAIN",
        [
            "503 5.5.1",
            "530 5.7.0",
            "503 5.5.1",
            "334",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    ("AUTH", ["501 5.5.4"; 10]),
    (
        "STARTTLS",
        [
            "503 5.5.1",
            "220 2.0.0, handshake",
            "220 2.0.0, handshake",
            "220 2.0.0, handshake",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
        ],
    ),
    ("STARTTLS x", ["501 5.5.4"; 10]),
    (
        "FOO",
        [
            "503 5.5.1",
            "530 5.7.0",
            "500 5.5.1",
            "500 5.5.1",
            "500 5.5.1",
            "500 5.5.1",
            "500 5.5.1",
            "500 5.5.1",
            "500 5.5.1",
            "500 5.5.1",
        ],
    ),
    ("a\nb", ["500 5.5.2"; 10]),
    (
        "GET / HTTP/1.1",
        [
            "554 5.5.1, close",
            "554 5.5.1, close",
            "554 5.5.1, close",
            "554 5.5.1, close",
            "554 5.5.1, close",
            "554 5.5.1, close",
            "554 5.5.1, close",
            "abandon, 554 5.5.1, close",
            "554 5.5.1, close",
            "554 5.5.1, close",
        ],
    ),
    (
        "QUIT",
        [
            "221 2.0.0, close",
            "221 2.0.0, close",
            "221 2.0.0, close",
            "221 2.0.0, close",
            "221 2.0.0, close",
            "221 2.0.0, close",
            "221 2.0.0, close",
            "abandon, 221 2.0.0, close",
            "221 2.0.0, close",
            "221 2.0.0, close",
        ],
    ),
];

fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        hostname: "relay.example".into(),
        message_octets_max: 1000,
        recipients_max: 10,
        command_octets_max: 512,
        header_octets_max: 1000,
        text_line_octets_max: 1000,
        takes_nul: false,
        hops_max: 10,
        bad_commands_max: 10,
        idle_wait_max: Duration::from_mins(5),
        data_wait_max: Duration::from_mins(5),
        data_rate_min: 0,
        session_wait_max: Duration::from_hours(1),
        transactions_max: 10,
        offers: Offers::default(),
    })
}

/// Runs until the session waits; gives what came of it, replies cut to code and status.
fn run(session: &mut Session, now: Instant) -> String {
    let mut found = Vec::new();
    while let Some(step) = session.next_step() {
        match step {
            Step::Send(bytes) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let last = text.lines().last().unwrap();
                let words: Vec<_> = last.split(' ').take(2).collect();
                let has_status = words[1].as_bytes()[1] == b'.';
                found.push(if has_status { words.join(" ") } else { words[0].to_owned() });
            }
            Step::Ask(question) => {
                let is_refused = match &question {
                    Question::Mail { sender, .. } => sender.to_string().contains("refused"),
                    Question::Recipient { address } => address.as_str().contains("refused"),
                    Question::Content | Question::Client(_) => false,
                };
                let no = Reply::new(550, "5.7.1".parse().ok(), "no");
                session.decide(if is_refused { Verdict::Refuse(no) } else { Verdict::Accept }, now);
            }
            // `AUTH PLAIN` is challenged, and whatever answers is wrong; `AUTH GOOD` logs in.
            Step::Login(said) => {
                let reply = |code, status: &str, text| Reply::new(code, status.parse().ok(), text);
                let verdict = match said {
                    Said::Auth(argument) if &*argument == "GOOD" => {
                        LoginVerdict::Accept(reply(235, "2.7.0", "in"))
                    }
                    Said::Auth(_) => LoginVerdict::Challenge(reply(334, "", "YWJj")),
                    Said::Response(_) => LoginVerdict::Refuse(reply(535, "5.7.8", "no")),
                };
                session.login(verdict, now);
            }
            Step::ForgetLogin => found.push("forget".into()),
            Step::Body(_) => {}
            Step::Commit(_) => {
                found.push("commit".into());
                // While the driver stores it, nothing is read.
                assert!(!session.wants_input());
                assert_eq!(session.next_step(), None);
                break;
            }
            Step::Abandon => found.push("abandon".into()),
            Step::StartTls => found.push("handshake".into()),
            Step::Close(_) => found.push("close".into()),
        }
    }
    found.join(", ")
}

fn session(state: &str, said: &str, now: Instant) -> Session {
    let security = Security { offers_starttls: true, requires_tls: state == "no TLS" };
    let mut session = if state == "turned" {
        Session::refused(settings(), &Reply::new(554, "5.7.1".parse().ok(), "no"), now)
    } else {
        Session::new(settings(), security, now)
    };
    session.offer_logins("PLAIN".into());
    run(&mut session, now);
    session.receive(Bytes::from(said.to_owned()), now);
    run(&mut session, now);
    if state == "tls" {
        session.tls_started(now);
        session.offer_logins("PLAIN".into());
    }
    session
}

#[test]
fn each_command_has_its_reply_in_each_state() {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from")]
    let now = Instant::now();
    let mut faults = Vec::new();
    for (command, row) in GRID {
        for ((state, said), want) in STATES.iter().zip(row) {
            let mut session = session(state, said, now);
            session.receive(Bytes::from(format!("{command}\r\n")), now);
            let found = run(&mut session, now);
            // What the driver holds is dropped before any close.
            let want = match *want {
                "501 5.5.4, close" if *state == "chunks" => "abandon, 501 5.5.4, close",
                want => want,
            };
            if found != want {
                faults.push(format!("{state} × {command:?}: {found}, not {want}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A login changes what AUTH means, and nothing else.
#[test]
fn whoever_is_logged_in_hears_the_same() {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from")]
    let now = Instant::now();
    for (command, row) in GRID {
        let mut session = session("idle", "EHLO a\r\nAUTH GOOD\r\n", now);
        session.receive(Bytes::from(format!("{command}\r\n")), now);
        let want = if *command == "AUTH PLAIN" { "503 5.5.1" } else { row[3] };
        assert_eq!(run(&mut session, now), want, "{command}");
    }
}

/// Whatever answers a challenge is no command.
#[test]
fn in_a_login_no_command_is_read() {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from")]
    let now = Instant::now();
    for (command, _) in GRID.iter().filter(|(command, _)| !command.contains('\n')) {
        let mut session = session("idle", "EHLO a\r\nAUTH PLAIN\r\n", now);
        session.receive(Bytes::from(format!("{command}\r\n")), now);
        assert_eq!(run(&mut session, now), "535 5.7.8", "{command}");
    }
    let mut session = session("idle", "EHLO a\r\nAUTH PLAIN\r\n", now);
    session.receive(Bytes::from_static(b"a\nb\r\n"), now);
    assert_eq!(run(&mut session, now), "forget, 500 5.5.2");
}

/// The states in which no command is read: the input waits, or is void, or is content; and the client's time stands still
/// while it is not the one waited for.
#[test]
fn elsewhere_no_command_is_read() {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from")]
    let now = Instant::now();
    let begun = "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n";

    let mut session = session("fresh", "EHLO a\r\n", now);
    session.receive(Bytes::from_static(b"MAIL FROM:<a@b>\r\nNOOP\r\n"), now);
    assert!(matches!(session.next_step(), Some(Step::Ask(_))));
    assert_eq!((session.next_step(), session.wants_input()), (None, false), "a question is open");
    session.expire(now + Duration::from_hours(2));
    assert_eq!(session.next_step(), None, "the driver takes its time");
    session.decide(Verdict::Accept, now);
    assert_eq!(
        session.next_step(),
        Some(Step::Send(Bytes::from_static(b"250 2.1.0 sender OK\r\n250 2.0.0 OK\r\n")))
    );

    let mut session = self::session("idle", "EHLO a\r\n", now);
    session.receive(Bytes::from_static(b"AUTH PLAIN\r\nNOOP\r\n"), now);
    assert!(matches!(session.next_step(), Some(Step::Login(_))));
    assert_eq!((session.next_step(), session.wants_input()), (None, false), "a login is looked at");
    session.expire(now + Duration::from_hours(2));
    assert_eq!(session.next_step(), None, "the driver takes its time");

    let mut session = self::session("fresh", begun, now);
    session.receive(Bytes::from_static(b"BDAT 0 LAST\r\nNOOP\r\n"), now);
    assert_eq!(run(&mut session, now), "commit");
    session.expire(now + Duration::from_hours(2));
    session.shut_down(now);
    assert_eq!(session.next_step(), None, "a commit is open");
    session.not_stored(Reply::new(451, "4.3.0".parse().ok(), "no"), now);
    // The stop comes before what was pipelined.
    assert_eq!(run(&mut session, now), "421 4.3.2, close");

    let mut session = self::session("fresh", "EHLO a\r\nSTARTTLS\r\n", now);
    session.receive(Bytes::from_static(b"NOOP\r\n"), now);
    assert_eq!((session.next_step(), session.wants_input()), (None, false), "a handshake is on");
    session.expire(now + Duration::from_hours(2));
    assert_eq!(run(&mut session, now), "close", "nobody could read a 421");

    for (way_in, content, end) in
        [("DATA\r\n", "QUIT\r\n", ".\r\n"), ("BDAT 9 LAST\r\n", "QUIT\r\n", "a\r\n")]
    {
        let mut session = self::session("fresh", &format!("{begun}{way_in}"), now);
        session.receive(Bytes::from_static(content.as_bytes()), now);
        assert_eq!(run(&mut session, now), "", "in content all is content");
        session.receive(Bytes::from_static(end.as_bytes()), now);
        assert_eq!(run(&mut session, now), "commit");
    }

    let mut session = self::session("fresh", "QUIT\r\n", now);
    session.receive(Bytes::from_static(b"NOOP\r\n"), now);
    assert_eq!((session.next_step(), session.wants_input()), (None, false), "closed");
}
