use std::time::Duration;

use mail::{
    Domain, EnhancedStatus, EnvelopeId, MessageId, OriginalRecipient, Peer, Reply, Timestamp,
};
use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::original::Original;
use crate::report::{Event, Notice};

const ORIGINAL: &[u8] =
    b"Received: from a\r\nMessage-ID: <1@a.example>\r\nSubject: hello\r\n\r\nbody\r\n";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn sender(text: &str) -> ReversePath {
    ReversePath::Address(address(text))
}

fn failure(recipient: &str, reply: Reply) -> Notice {
    Notice {
        recipient: address(recipient),
        original: None,
        event: Event::Refused,
        reply,
        peer: Some(Peer {
            host: "mx.b.example".into(),
            address: "192.0.2.1:25".parse().unwrap(),
            tls: None,
            offers_dsn: false,
            is_final: false,
            offers_deliver_by: false,
        }),
        tries: 1,
        last_try_at: Some(Timestamp::from_millis(1_795_286_770_000)),
    }
}

fn no_such_user() -> Reply {
    Reply::new(550, Some(EnhancedStatus::new(5, 1, 1)), "no such user\nsee https://b.example/help")
}

fn write(notices: &[Notice], original: &[u8], sender: &ReversePath) -> Option<Written> {
    write_with(notices, original, sender, &Said::default())
}

/// What MAIL said of the message, and how old it is.
#[derive(Default)]
struct Said {
    envelope_id: Option<EnvelopeId>,
    ret: Option<Ret>,
    requires_tls: bool,
    age: Duration,
}

/// As [`write`], of a message of which MAIL said more.
fn write_with(
    notices: &[Notice],
    original: &[u8],
    sender: &ReversePath,
    said: &Said,
) -> Option<Written> {
    let hostname = Domain::parse("relay.example").unwrap();
    let received_at = Timestamp::from_millis(1_795_286_760_000);
    let report = Report {
        hostname: &hostname,
        id: MessageId::new(1_795_286_780_000, 99),
        written_at: received_at.plus(said.age),
        message: MessageId::new(1_795_286_760_000, 7),
        received_at,
        envelope_id: said.envelope_id.as_ref(),
        ret: said.ret,
        requires_tls: said.requires_tls,
        notices,
        original: Original { octets: original, is_whole: true },
    };
    report.write(sender)
}

/// What a foreign parser makes of a report.
struct Read {
    subject: String,
    text: String,
    status: String,
    original: String,
    original_kind: String,
    headers: usize,
}

fn read(content: &[u8]) -> Read {
    let message = MessageParser::default().parse(content).expect("it parses");
    let kind = message.content_type().expect("a content type");
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    let status = kind.attribute("report-type").expect("a type of report").to_owned();
    let PartType::Multipart(parts) = &message.parts[0].body else { panic!("not multipart") };
    assert_eq!(parts.len(), 3, "{}", String::from_utf8_lossy(content));
    let part = |number: usize| &message.parts[usize::try_from(parts[number]).unwrap()];
    let text = |number: usize| match &part(number).body {
        PartType::Text(text) => text.to_string(),
        PartType::Message(inner) => String::from_utf8_lossy(inner.raw_message()).into_owned(),
        other => String::from_utf8_lossy(match other {
            PartType::Binary(octets) | PartType::InlineBinary(octets) => octets,
            _ => panic!("unexpected part"),
        })
        .into_owned(),
    };
    let kind_of = |number: usize| {
        let kind = part(number).content_type().expect("a type");
        format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())
    };
    assert_eq!(
        (kind_of(0).as_str(), kind_of(1).as_str()),
        ("text/plain", format!("message/{status}").as_str())
    );
    Read {
        subject: message.subject().unwrap_or_default().to_owned(),
        text: text(0),
        status: text(1),
        original: text(2),
        original_kind: kind_of(2),
        headers: message.headers().len(),
    }
}

#[test]
fn the_null_sender_gets_no_report() {
    assert_eq!(
        write(&[failure("b@b.example", no_such_user())], ORIGINAL, &ReversePath::Null),
        None
    );
}

#[test]
fn a_report_names_each_recipient_with_the_words_of_the_remote_host() {
    let expired = Notice {
        event: Event::Expired,
        tries: 12,
        last_try_at: Some(Timestamp::from_millis(1_795_286_760_000 + 5 * 86_400_000)),
        ..failure("\"c d\"@b.example", Reply::new(451, None, "greylisted, come back"))
    };
    let local = Notice {
        peer: None,
        ..failure(
            "e@nowhere.example",
            Reply::new(550, Some(EnhancedStatus::new(5, 1, 2)), "no such domain"),
        )
    };
    let failures = [failure("b@b.example", no_such_user()), expired, local];
    let five_days_later = Said { age: Duration::from_hours(120), ..Said::default() };
    let written =
        write_with(&failures, ORIGINAL, &sender("a@a.example"), &five_days_later).unwrap();
    assert_eq!(written.envelope.sender, ReversePath::Null);
    let recipient = Recipient::from(address("a@a.example"));
    let recipient = Recipient { notify: Some(Notify::NEVER), ..recipient };
    assert_eq!(written.envelope.recipients, [recipient]);
    assert!(!written.envelope.needs_smtputf8 && written.content.is_ascii());
    let text = String::from_utf8(written.content.clone()).unwrap();
    for line in [
        "From: \"Mail Delivery System\" <mailer-daemon@relay.example>\r\nTo: <a@a.example>\r\n",
        "\r\nAuto-Submitted: auto-replied\r\n",
        "\r\nIn-Reply-To: <1@a.example>\r\n",
        "\r\n\r\nFinal-Recipient: rfc822; b@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Remote-MTA: dns; mx.b.example\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user see https://b.example/help\r\n",
        "\r\n\r\nFinal-Recipient: rfc822; \"c d\"@b.example\r\nAction: failed\r\nStatus: 4.4.7\r\n",
        "\r\n\r\nFinal-Recipient: rfc822; e@nowhere.example\r\nAction: failed\r\nStatus: 5.1.2\r\nLast-Attempt-Date:",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let read = read(&written.content);
    for words in [
        "  <b@b.example>\r\n    The mail server mx.b.example [192.0.2.1] refused it:\r\n      \
         550 5.1.1 no such user\r\n      see https://b.example/help\r\n",
        "    It was tried 12 times in 5 days. The last answer, from the mail\r\n    server mx.b.example [192.0.2.1]:\r\n      \
         451 greylisted, come back\r\n",
        "  <e@nowhere.example>\r\n    This relay could not send it:\r\n      no such domain\r\n",
    ] {
        assert!(read.text.contains(words), "{words} is missing in\n{}", read.text);
    }
    assert_eq!(read.original_kind, "message/rfc822");
    assert_eq!(read.original, String::from_utf8_lossy(ORIGINAL));
}

/// Which hosts stand behind the relay, and where they listen, is nobody's business; nor did they say it.
#[test]
fn what_the_relay_found_itself_shows_no_address() {
    let at_last = |words: &str| Notice {
        event: Event::Expired,
        peer: None,
        ..failure("b@b.example", Reply::new(451, Some(EnhancedStatus::new(4, 4, 1)), words))
    };
    for (words, want) in [
        (
            "smart.corp[10.0.0.7]:2525 cannot be connected to: refused",
            "smart.corp cannot be connected to: refused",
        ),
        ("10.0.0.7[10.0.0.7]:2525: lost it", "the mail server: lost it"),
        ("mx[2001:db8::1]:25, and so on", "mx, and so on"),
        ("unix:/run/lmtp cannot be connected to", "the mail server cannot be connected to"),
        ("in [brackets]: stays [10.0.0.7]", "in [brackets]: stays [10.0.0.7]"),
    ] {
        let seen =
            read(&write(&[at_last(words)], ORIGINAL, &sender("a@a.example")).unwrap().content);
        let lines = format!("What stood in the way last:\r\n      {want}\r\n");
        assert!(seen.text.contains(&lines), "{lines} is missing in\n{}", seen.text);
        assert!(!seen.status.contains("Remote-MTA") && !seen.status.contains("Diagnostic-Code"));
    }
}

/// A socket has no address and no name that means anything elsewhere; what it said is told.
#[test]
fn a_socket_is_not_shown() {
    let mut notice = failure("b@b.example", no_such_user());
    let address = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    notice.peer = notice.peer.map(|peer| Peer { host: "unix:/run/lmtp".into(), address, ..peer });
    let written = write(&[notice], ORIGINAL, &sender("a@a.example")).unwrap();
    let text = String::from_utf8(written.content.clone()).unwrap();
    assert!(!text.contains("/run/lmtp") && !text.contains("0.0.0.0"), "{text}");
    assert!(text.contains("Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user"));
    assert!(read(&written.content).text.contains("    The mail server refused it:\r\n      550"));
}

#[test]
fn addresses_beyond_ascii_need_smtputf8_only_for_their_owner() {
    let failures = [failure("jösé@exämple.org", no_such_user())];
    let written = write(&failures, ORIGINAL, &sender("a@a.example")).unwrap();
    assert!(!written.envelope.needs_smtputf8 && written.content.is_ascii());
    let seen = read(&written.content);
    assert!(seen.status.contains("Final-Recipient: utf-8; j\\x{F6}s\\x{E9}@ex\\x{E4}mple.org\r\n"));
    assert!(seen.text.contains("<jösé@exämple.org>"));
    let written = write(&failures, ORIGINAL, &sender("ö@a.example")).unwrap();
    assert!(written.envelope.needs_smtputf8);
    // What goes by SMTPUTF8 needs no disguise (RFC 6533 §4).
    let seen = read(&written.content);
    assert!(
        seen.status.contains("Final-Recipient: utf-8; jösé@exämple.org\r\n"),
        "{}",
        seen.status
    );
    let text = String::from_utf8(written.content).unwrap();
    for words in [
        "To: <ö@a.example>",
        "report-type=global-delivery-status;",
        "message/global-delivery-status",
        "Content-Transfer-Encoding: 8bit",
    ] {
        assert!(text.contains(&format!("{words}\r\n")), "{words} is missing in\n{text}");
    }
}

#[test]
fn an_original_that_is_large_or_not_seven_bit_returns_its_headers() {
    let header = "Subject: gr\u{fc}n\r\nX: y\r\n";
    let utf8 = format!("{header}\r\nbody");
    let large = [&b"A: b\r\n\r\n"[..], &vec![b'x'; 40 << 10]].concat();
    let headers_only = [&b"A: "[..], &vec![b'x'; 70 << 10]].concat();
    for (original, kind, want) in [
        (&b"A: b\r\n\r\n\xff"[..], "text/rfc822-headers", "A: b\r\n"),
        (utf8.as_bytes(), "message/global-headers", header),
        (&large, "text/rfc822-headers", "A: b\r\n"),
        (&headers_only, "text/rfc822-headers", ""),
        (b"", "text/rfc822-headers", ""),
        (b"\r\nno header \xff", "text/rfc822-headers", ""),
    ] {
        let written =
            write(&[failure("b@b.example", no_such_user())], original, &sender("a@a.example"))
                .unwrap();
        let seen = read(&written.content);
        assert_eq!(
            (seen.original_kind.as_str(), seen.original.trim_end()),
            (kind, want.trim_end())
        );
        assert!(written.content.is_ascii());
    }
}

/// What is on its way and what is late is told with what each needs, and the words fit.
#[test]
fn a_report_may_tell_of_several_events() {
    let until = Timestamp::from_millis(1_795_286_760_000 + 5 * 86_400_000);
    let late = Notice {
        event: Event::Late { until },
        tries: 3,
        original: OriginalRecipient::new("RFC822", "first+named@b.example"),
        ..failure("late@b.example", Reply::new(451, None, "greylisted"))
    };
    let relayed = Notice {
        event: Event::Relayed,
        original: OriginalRecipient::new("utf-8", "grün@b.example"),
        ..failure("there@b.example", Reply::new(250, None, "queued as 7"))
    };
    let id = EnvelopeId::parse("order 4711+x").unwrap();
    let both = [relayed.clone(), late];
    let written = write_with(
        &both,
        ORIGINAL,
        &sender("a@a.example"),
        &Said { envelope_id: Some(id), ret: Some(Ret::Full), ..Said::default() },
    );
    let seen = read(&written.unwrap().content);
    assert_eq!(seen.subject, "Your message is delayed");
    for lines in [
        "Original-Envelope-Id: order 4711+x\r\nReporting-MTA: dns; relay.example\r\n",
        "\r\n\r\nOriginal-Recipient: utf-8; gr\\x{FC}n@b.example\r\n\
         Final-Recipient: rfc822; there@b.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n",
        "\r\n\r\nOriginal-Recipient: RFC822; first+named@b.example\r\n\
         Final-Recipient: rfc822; late@b.example\r\nAction: delayed\r\nStatus: 4.0.0\r\n",
        "\r\nLast-Attempt-Date: Sat, 21 Nov 2026 18:46:10 +0000\r\n\
         Will-Retry-Until: Thu, 26 Nov 2026 18:46:00 +0000\r\n",
    ] {
        assert!(seen.status.contains(lines), "{lines} is missing in\n{}", seen.status);
    }
    for words in ["need not send it again", "sends no reports of success"] {
        let text = seen.text.replace("\r\n", " ");
        assert!(text.contains(words), "{words} is missing in\n{}", seen.text);
    }
    assert!(!seen.text.contains("check the addresses"));
    // The whole message goes back with a failure only, whatever was asked for.
    assert_eq!(seen.original_kind, "text/rfc822-headers");
    let delivered = Notice { event: Event::Delivered, ..relayed.clone() };
    for (notice, subject, action) in [
        (relayed, "Your message was passed on", "relayed"),
        (delivered, "Your message was delivered", "delivered"),
    ] {
        let seen = read(&write(&[notice], ORIGINAL, &sender("a@a.example")).unwrap().content);
        assert_eq!(seen.subject, subject);
        assert!(seen.status.contains(&format!("\r\nAction: {action}\r\nStatus: 2.0.0\r\n")));
    }
}

#[test]
fn the_sender_says_how_much_comes_back() {
    let large = [&b"A: b\r\n\r\n"[..], &b"line\r\n".repeat(7000)].concat();
    for (original, ret, want) in [
        (ORIGINAL, None, "message/rfc822"),
        (ORIGINAL, Some(Ret::Full), "message/rfc822"),
        (ORIGINAL, Some(Ret::Headers), "text/rfc822-headers"),
        (&large, None, "text/rfc822-headers"),
        (&large, Some(Ret::Full), "message/rfc822"),
    ] {
        let failures = [failure("b@b.example", no_such_user())];
        let written = write_with(
            &failures,
            original,
            &sender("a@a.example"),
            &Said { ret, ..Said::default() },
        );
        let seen = read(&written.unwrap().content);
        assert_eq!(seen.original_kind, want, "{ret:?} {}", original.len());
    }
}

/// RFC 8689 §5: what tells of a message is as secret as the message, and brings no more of it than its headers.
#[test]
fn a_report_about_a_secret_message_needs_tls_too() {
    let failures = [failure("b@b.example", no_such_user())];
    for is_secret in [false, true] {
        let written = write_with(
            &failures,
            ORIGINAL,
            &sender("a@a.example"),
            &Said { requires_tls: is_secret, ret: Some(Ret::Full), ..Said::default() },
        )
        .unwrap();
        assert_eq!(written.envelope.wishes.requires_tls, is_secret);
        let want = if is_secret { "text/rfc822-headers" } else { "message/rfc822" };
        assert_eq!(read(&written.content).original_kind, want);
    }
}

#[test]
fn a_status_that_contradicts_a_final_no_is_not_passed_on() {
    let reply = Reply::new(550, Some(EnhancedStatus::new(4, 7, 1)), "never");
    assert_eq!(failure("b@b.example", reply).status(), EnhancedStatus::new(5, 0, 0));
}

/// An original that holds the boundary of its own report cannot end a part early.
#[test]
fn the_original_cannot_close_its_part() {
    let id = MessageId::new(1_795_286_780_000, 99);
    let original = format!("A: b\r\n\r\n--=_{id}\r\nContent-Type: text/html\r\n\r\n--=_{id}--\r\n");
    let written = write(
        &[failure("b@b.example", no_such_user())],
        original.as_bytes(),
        &sender("a@a.example"),
    );
    assert_eq!(read(&written.unwrap().content).original, original);
}

fn hostile() -> impl Strategy<Value = String> {
    let bad = "[ -~\\r\\n\\t\0\u{1b}\u{85}\u{2028}\u{202e}é—😀]{0,300}";
    let injected = Just("x\r\n\r\n--=_0\r\nSubject: owned\r\nBcc: e@e.example\r\n.\r\n".to_owned());
    prop_oneof![8 => bad, 1 => injected, 1 => "[a-zé]{900,2100}"]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Refused),
        Just(Event::Expired),
        Just(Event::Overdue),
        Just(Event::Relayed),
        Just(Event::Delivered),
        Just(Event::Late { until: Timestamp::from_millis(1_795_286_790_000) }),
        Just(Event::Missed { until: Timestamp::from_millis(1_795_286_790_000) }),
    ]
}

fn recipient() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.+=_-]{1,20}@[a-z]{1,10}\\.example",
        "\"[ -!#-Z^-~]{0,20}\"@b\\.example",
        "[a-zéö]{1,10}@b[äu]cher\\.example",
    ]
    .prop_filter("an address", |text| Address::parse(text).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever hosts say, whoever they are, whatever the original holds: three parts, our headers,
    /// one group per recipient, lines that every relay carries.
    #[test]
    fn nothing_breaks_out_of_its_place(
        words in prop::collection::vec((recipient(), hostile(), hostile()), 1..6),
        original in prop::collection::vec(any::<u8>(), 0..400),
        header in hostile(),
        event in event(),
        named in "[ -~]{1,100}",
    ) {
        let (id, first) = (EnvelopeId::parse(&named), OriginalRecipient::new("rfc822", &named));
        let failures: Vec<_> = words.iter().map(|(recipient, reply, host)| {
            let mut failure = failure(recipient, Reply::new(550, None, reply.clone()));
            (failure.event, failure.original) = (event, first.clone());
            failure.peer = failure.peer.map(|peer| Peer { host: host.as_str().into(), ..peer });
            failure
        }).collect();
        let original = [header.as_bytes(), b"\r\n", &original].concat();
        let written = write_with(&failures, &original, &sender("a@a.example"), &Said { envelope_id: id, ..Said::default() });
        let written = written.unwrap();
        let content = &written.content;
        prop_assert!(crate::encode::is_seven_bit(content));
        prop_assert!(content.ends_with(b"--\r\n"));
        let seen = read(content);
        prop_assert_eq!(seen.subject.as_str(), text::subject(event.action()));
        let has_id = Original { octets: &original, is_whole: true }.message_id().is_some();
        prop_assert_eq!(seen.headers, if has_id { 10 } else { 8 });
        let groups = |name: &str| {
            seen.status.lines().filter(|line| line.starts_with(name)).count()
        };
        prop_assert_eq!(groups("Final-Recipient: "), failures.len());
        prop_assert_eq!(groups("Action: "), failures.len());
        prop_assert_eq!(groups("Original-Recipient: rfc822; "), failures.len());
        prop_assert_eq!(groups("Status: "), failures.len());
        prop_assert_eq!(seen.status.split("\r\n\r\n").count(), failures.len() + 1);
        let allowed = ["Reporting-MTA: ", "X-Chasqui-Message: ", "Arrival-Date: ", "Final-Recipient: ",
            "Action: ", "Status: ", "Remote-MTA: ", "Diagnostic-Code: ", "Last-Attempt-Date: ",
            "Will-Retry-Until: ", "Original-Envelope-Id: ", "Original-Recipient: ", "\t"];
        for line in seen.status.split("\r\n").filter(|line| !line.is_empty()) {
            prop_assert!(allowed.iter().any(|start| line.starts_with(start)), "{}", line);
        }
        for (recipient, _, _) in &words {
            let named = format!("  <{recipient}>");
 prop_assert!(seen.text.contains(&named), "{}", seen.text);
        }
    }
}
