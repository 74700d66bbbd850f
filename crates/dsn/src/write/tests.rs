use mail::{Domain, EnhancedStatus, MessageId, Peer, Reply, Timestamp};
use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::original::Original;
use crate::report::{Cause, Failure};

const ORIGINAL: &[u8] =
    b"Received: from a\r\nMessage-ID: <1@a.example>\r\nSubject: hello\r\n\r\nbody\r\n";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn sender(text: &str) -> ReversePath {
    ReversePath::Address(address(text))
}

fn failure(recipient: &str, reply: Reply) -> Failure {
    Failure {
        recipient: address(recipient),
        cause: Cause::Refused,
        reply,
        peer: Some(Peer {
            host: "mx.b.example".into(),
            address: "192.0.2.1:25".parse().unwrap(),
            tls: None,
            offers_dsn: false,
            is_final: false,
        }),
        tries: 1,
        last_try_at: Timestamp::from_millis(1_795_286_770_000),
    }
}

fn no_such_user() -> Reply {
    Reply::new(550, Some(EnhancedStatus::new(5, 1, 1)), "no such user\nsee https://b.example/help")
}

fn write(failures: &[Failure], original: &[u8], sender: &ReversePath) -> Option<Written> {
    let hostname = Domain::parse("relay.example").unwrap();
    let report = Report {
        hostname: &hostname,
        id: MessageId::new(1_795_286_780_000, 99),
        written_at: Timestamp::from_millis(1_795_286_780_000),
        message: MessageId::new(1_795_286_760_000, 7),
        received_at: Timestamp::from_millis(1_795_286_760_000),
        failures,
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
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
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
        ("text/plain", "message/delivery-status")
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
    let expired = Failure {
        cause: Cause::Expired,
        tries: 12,
        last_try_at: Timestamp::from_millis(1_795_286_760_000 + 5 * 86_400_000),
        ..failure("\"c d\"@b.example", Reply::new(451, None, "greylisted, come back"))
    };
    let local = Failure {
        peer: None,
        ..failure(
            "e@nowhere.example",
            Reply::new(550, Some(EnhancedStatus::new(5, 1, 2)), "no such domain"),
        )
    };
    let failures = [failure("b@b.example", no_such_user()), expired, local];
    let written = write(&failures, ORIGINAL, &sender("a@a.example")).unwrap();
    assert_eq!(written.envelope.sender, ReversePath::Null);
    assert_eq!(written.envelope.recipients, [Recipient::from(address("a@a.example"))]);
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
        "\r\nDiagnostic-Code: x-chasqui; 550 5.1.2 no such domain\r\n",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let read = read(&written.content);
    for words in [
        "  <b@b.example>\r\n    The mail server mx.b.example [192.0.2.1] refused it:\r\n      \
         550 5.1.1 no such user\r\n      see https://b.example/help\r\n",
        "    It was tried 12 times in 5 days. The last answer, from mx.b.example\r\n    [192.0.2.1]:\r\n      \
         451 greylisted, come back\r\n",
        "  <e@nowhere.example>\r\n    This relay could not send it:\r\n      550 5.1.2 no such domain\r\n",
    ] {
        assert!(read.text.contains(words), "{words} is missing in\n{}", read.text);
    }
    assert_eq!(read.original_kind, "message/rfc822");
    assert_eq!(read.original, String::from_utf8_lossy(ORIGINAL));
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
    assert!(String::from_utf8(written.content).unwrap().contains("\r\nTo: <ö@a.example>\r\n"));
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
        is_expired in any::<bool>(),
    ) {
        let cause = if is_expired { Cause::Expired } else { Cause::Refused };
        let failures: Vec<_> = words.iter().map(|(recipient, reply, host)| {
            let mut failure = failure(recipient, Reply::new(550, None, reply.clone()));
            failure.cause = cause;
            failure.peer = failure.peer.map(|peer| Peer { host: host.as_str().into(), ..peer });
            failure
        }).collect();
        let original = [header.as_bytes(), b"\r\n", &original].concat();
        let written = write(&failures, &original, &sender("a@a.example")).unwrap();
        let content = &written.content;
        prop_assert!(crate::encode::is_seven_bit(content));
        prop_assert!(content.ends_with(b"--\r\n"));
        let seen = read(content);
        prop_assert_eq!(seen.subject.as_str(), "Your message could not be delivered");
        let has_id = Original { octets: &original, is_whole: true }.message_id().is_some();
        prop_assert_eq!(seen.headers, if has_id { 10 } else { 8 });
        let groups = |name: &str| {
            seen.status.lines().filter(|line| line.starts_with(name)).count()
        };
        prop_assert_eq!(groups("Final-Recipient: "), failures.len());
        prop_assert_eq!(groups("Action: failed"), failures.len());
        prop_assert_eq!(groups("Status: "), failures.len());
        prop_assert_eq!(seen.status.split("\r\n\r\n").count(), failures.len() + 1);
        let allowed = ["Reporting-MTA: ", "X-Chasqui-Message: ", "Arrival-Date: ", "Final-Recipient: ",
            "Action: ", "Status: ", "Remote-MTA: ", "Diagnostic-Code: ", "Last-Attempt-Date: ", "\t"];
        for line in seen.status.split("\r\n").filter(|line| !line.is_empty()) {
            prop_assert!(allowed.iter().any(|start| line.starts_with(start)), "{}", line);
        }
        for (recipient, _, _) in &words {
            let named = format!("  <{recipient}>");
 prop_assert!(seen.text.contains(&named), "{}", seen.text);
        }
    }
}
