//! However the input is cut, the steps are the same.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is a finding")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::{Accepted, BodyType, Envelope, Fate, MessageId, Origin, Reply, ReversePath, Timestamp};
use proptest::prelude::*;
use smtp_session::{client, server};

/// What came of a conversation: all that was sent, and each message with its content.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    sent: Vec<u8>,
    messages: Vec<(server::Transaction, Vec<u8>)>,
    abandoned: usize,
    end: Option<server::Reason>,
}

fn settings() -> Arc<server::Settings> {
    use server::Extension::{
        BinaryMime, Chunking, DeliverBy, Dsn, EightBitMime, FutureRelease, Limits,
    };
    let all = [BinaryMime, Chunking, DeliverBy, Dsn, FutureRelease, Limits, EightBitMime];
    Arc::new(server::Settings {
        hostname: "relay.example".into(),
        message_octets_max: 300,
        recipients_max: 3,
        command_octets_max: 64,
        header_octets_max: 100,
        text_line_octets_max: 60,
        takes_nul: false,
        hops_max: 2,
        bad_commands_max: 8,
        idle_wait_max: Duration::from_mins(5),
        data_wait_max: Duration::from_mins(5),
        data_rate_min: 0,
        session_wait_max: Duration::from_hours(1),
        transactions_max: 10,
        offers: server::Offers {
            extensions: all.into_iter().collect(),
            ..server::Offers::default()
        },
    })
}

fn accepted(transaction: &server::Transaction) -> Accepted {
    let origin = Origin {
        client: None,
        helo: "a".into(),
        listener: "a".into(),
        connector: "a".into(),
        tls: None,
        login: None,
    };
    let envelope = Envelope {
        sender: transaction.sender.clone(),
        recipients: transaction.recipients.clone(),
        body_type: transaction.body_type,
        needs_smtputf8: transaction.needs_smtputf8,
        wishes: transaction.wishes.clone(),
        origin,
        directions: None,
    };
    Accepted {
        id: MessageId::new(1, 1),
        envelope: Arc::new(envelope),
        received_at: Timestamp::default(),
        octets: transaction.octets,
    }
}

fn serve(pieces: &[&[u8]], now: Instant) -> Outcome {
    let security = server::Security { offers_starttls: true, requires_tls: false };
    let mut session = server::Session::new(settings(), security, now);
    session.offer_logins("PLAIN".into());
    let (mut outcome, mut body) = (Outcome::default(), None::<Vec<u8>>);
    let no = || server::Verdict::Refuse(Reply::new(550, "5.7.1".parse().ok(), "no"));
    let mut pieces = pieces.iter();
    loop {
        while let Some(step) = session.next_step() {
            match step {
                server::Step::Send(bytes) => outcome.sent.extend_from_slice(&bytes),
                server::Step::Ask(server::Question::Content) => {
                    assert!(body.replace(Vec::new()).is_none(), "one content at a time");
                    session.decide(server::Verdict::Accept, now);
                }
                server::Step::Ask(server::Question::Recipient { address }) => {
                    let is_taken = !address.as_str().starts_with("no");
                    session.decide(if is_taken { server::Verdict::Accept } else { no() }, now);
                }
                server::Step::Ask(server::Question::Mail { .. } | server::Question::Client(_)) => {
                    session.decide(server::Verdict::Accept, now);
                }
                server::Step::Login(said) => {
                    let reply = |code| Reply::new(code, None, "word");
                    session.login(
                        match said {
                            server::Said::Auth(argument) if argument.contains("good") => {
                                server::LoginVerdict::Accept(reply(235))
                            }
                            server::Said::Auth(_) => server::LoginVerdict::Challenge(reply(334)),
                            server::Said::Response(line) if &*line == b"more" => {
                                server::LoginVerdict::Challenge(reply(334))
                            }
                            server::Said::Response(_) => server::LoginVerdict::Refuse(reply(535)),
                        },
                        now,
                    );
                }
                server::Step::Body(bytes) => body.as_mut().unwrap().extend_from_slice(&bytes),
                server::Step::Commit(transaction) => {
                    session.stored(&accepted(&transaction), now);
                    outcome.messages.push((*transaction, body.take().unwrap()));
                }
                server::Step::Abandon => {
                    body.take().unwrap();
                    outcome.abandoned += 1;
                }
                server::Step::ForgetLogin | server::Step::StartTls => {}
                server::Step::Close(reason) => outcome.end = Some(reason),
            }
        }
        match pieces.next() {
            Some(piece) => session.receive(Bytes::copy_from_slice(piece), now),
            None if outcome.end.is_none() => {
                assert!(session.next_step().is_none());
                session.input_ended(now);
            }
            None => break,
        }
    }
    assert!(body.is_none(), "content is committed or abandoned");
    outcome
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from")]
    Instant::now()
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

const SCRAPS: [&str; 46] = [
    "HELO a\r\n",
    "AUTH PLAIN good\r\n",
    "AUTH PLAIN\r\n",
    "AUTH PLAIN\r\nmore\r\nbad\r\n",
    "more\r\n",
    "*\r\n",
    "AUTH 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
    "EHLO b.example\r\n",
    "MAIL FROM:<a@b>\r\n",
    "MAIL FROM:<>\r\n",
    "RCPT TO:<c@d>\r\n",
    "RCPT TO:<no@d>\r\n",
    "DATA\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "VRFY a\r\n",
    "FOO\r\n",
    "BDAT 8\r\nabcdef\r\n",
    "BDAT 5 LAST\r\nabc\r\n",
    "BDAT 4\r\nab\r\n",
    "BDAT 3 LAST\r\na\nb",
    "BDAT 0 LAST\r\n",
    "BDAT 2 LAST\r\na\r",
    ".\r\n",
    "..x\r\n",
    "text\r\n",
    "Received: x\r\n",
    "a: b\r\n",
    "\r\n",
    "\r\n.\r\n",
    "\n",
    "\r",
    "\n.\n",
    "\r\n.\r\r\n",
    ".",
    "0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
    "x\0y\r\n",
    "MAIL FROM:<a@b> SIZE=999\r\n",
    "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\na: b\r\n\r\ntext\r\n.\r\n",
    "HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
    "MAIL FROM:<a@b> RET=HDRS ENVID=x+20y\r\n",
    "MAIL FROM:<a@b> BODY=BINARYMIME\r\n",
    "MAIL FROM:<a@b> HOLDFOR=60 BY=99;N\r\n",
    "MAIL FROM:<a@b> RET=NO\r\n",
    "RCPT TO:<c@d> NOTIFY=NEVER ORCPT=rfc822;c@d\r\n",
    "RCPT TO:<c@d> NOTIFY=SOMETIMES\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn cuts_do_not_matter_to_the_server(
        scraps in prop::collection::vec(0..SCRAPS.len(), 0..24),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        ends_badly in prop::option::of(prop_oneof![Just("STARTTLS\r\nNOOP\r\n"), Just("QUIT\r\nNOOP\r\n"), Just("GET / HTTP/1.1\r\n")]),
    ) {
        let mut text = "EHLO a\r\n".to_owned();
        text.extend(scraps.iter().map(|&scrap| SCRAPS[scrap]));
        text.push_str(ends_badly.unwrap_or_default());
        let (bytes, now) = (text.as_bytes(), now());
        let whole = serve(&[bytes], now);
        prop_assert_eq!(&serve(&pieces(bytes, &cuts), now), &whole);
        let octets: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&serve(&octets, now), &whole);
        for (transaction, content) in &whole.messages {
            prop_assert_eq!(transaction.octets, content.len() as u64);
            prop_assert!(!transaction.recipients.is_empty());
            if transaction.body_type == BodyType::BinaryMime {
                continue;
            }
            let bare = String::from_utf8_lossy(content).replace("\r\n", "").contains(['\r', '\n']);
            prop_assert!(!bare, "a bare line end was let in");
        }
    }
}

/// Sends a message with its content at once; gives what was sent and the end.
fn hand_over(
    replies: &[&[u8]],
    (extensions, is_lmtp): (client::Extensions, bool),
    now: Instant,
) -> (Vec<u8>, Option<client::End>) {
    let address = |text| mail::Recipient::from(mail::Address::parse(text).unwrap());
    let outgoing = client::Outgoing {
        sender: ReversePath::Null,
        recipients: vec![address("a@b"), address("c@d")],
        octets: 7,
        body_type: BodyType::SevenBit,
        needs_smtputf8: false,
        wishes: Box::default(),
        now: Timestamp::default(),
    };
    let begin = if is_lmtp { client::Transaction::lmtp } else { client::Transaction::new };
    let mut transaction = begin(outgoing, extensions, client::Timeouts::default(), now);
    let (mut sent, mut end, mut has_body) = (Vec::new(), None, true);
    let mut replies = replies.iter();
    loop {
        while let Some(step) = transaction.next_step() {
            match step {
                client::Step::Send(bytes) => sent.extend_from_slice(&bytes),
                client::Step::NeedBody if has_body => {
                    has_body = false;
                    transaction.body(Bytes::from_static(b".text\r\n"), now);
                }
                client::Step::NeedBody => transaction.body_ended(now),
                client::Step::Done(done) => end = Some(done),
            }
        }
        match replies.next() {
            Some(bytes) if end.is_none() => transaction.receive(bytes, now),
            _ if end.is_some() => break,
            _ => transaction.closed(now),
        }
    }
    (sent, end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Replies come one by one or cut anywhere; only the last, which is never more than is due, may be cut short.
    #[test]
    fn cuts_do_not_matter_to_the_client(
        replies in prop::collection::vec(prop_oneof![
            4 => Just("250 2.0.0 OK\r\n"), 1 => Just("250-a\r\n250 b\r\n"), 3 => Just("354 go\r\n"), 1 => Just("550 5.1.1 no\r\n"),
            1 => Just("452 4.5.3 too many\r\n"), 1 => Just("552 full\r\n"), 1 => Just("421 4.4.2 bye\r\n"), 1 => Just("ok\r\n"), 1 => Just("25"),
        ], 0..7),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        (is_pipelining, is_chunking, is_lmtp) in any::<(bool, bool, bool)>(),
    ) {
        let now = now();
        let mut each: Vec<&[u8]> = replies.iter().map(|reply| reply.as_bytes()).collect();
        let mut cut = Vec::new();
        for reply in &each {
            cut.extend(pieces(reply, &cuts));
        }
        let extensions = client::Extensions {
            pipelining: is_pipelining,
            chunking: is_chunking,
            ..client::Extensions::default()
        };
        let whole = hand_over(&each, (extensions, is_lmtp), now);
        prop_assert_eq!(&hand_over(&cut, (extensions, is_lmtp), now), &whole);
        let end = whole.1.unwrap();
        prop_assert_eq!(end.recipients.len(), 2);
        prop_assert!(end.retry_rest.len() < 2);
        // Delivered means that the dot was answered with yes, and that reply is the recipient's.
        each.retain(|reply| reply.starts_with(b"354"));
        for answer in &end.recipients {
            if answer.fate == Fate::Delivered {
                prop_assert!(answer.is_remote && answer.reply.is_success());
                if is_chunking {
                    prop_assert!(whole.0.ends_with(b"BDAT 7 LAST\r\n.text\r\n"));
                } else {
                    prop_assert!(!each.is_empty() && whole.0.ends_with(b"DATA\r\n..text\r\n.\r\n"));
                }
            }
        }
    }
}

/// Thousands of sessions wait at a time: none may keep the buffer that its last command came in.
#[test]
fn a_session_that_waits_keeps_nothing_of_what_it_took() {
    let mut session = server::Session::new(settings(), server::Security::default(), now());
    for line in ["EHLO client.test\r\n", "NOOP\r\nNOOP\r\n", "MAIL FROM:<a@b.test>\r\nNO"] {
        let octets = Bytes::from(line.as_bytes().to_vec());
        session.receive(octets.clone(), now());
        while let Some(step) = session.next_step() {
            if let server::Step::Ask(_) = step {
                session.decide(server::Verdict::Accept, now());
            }
        }
        assert!(octets.is_unique(), "{line:?}");
    }
}
