//! Whole sessions, with a hostile client and a hostile next hop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::{
    Accepted, Address, BodyType, Envelope, Fate, MessageId, Origin, Recipient, Reply, ReversePath,
    Timestamp,
};
use smtp_session::{client, server};

use crate::cut::cut;

/// What came of a session.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    sent: Vec<u8>,
    messages: Vec<(server::Transaction, Vec<u8>)>,
    end: Option<server::Reason>,
}

/// A session says the same however its input is cut, takes nothing that is against its limits, and ends.
pub(crate) fn session(input: &[u8]) {
    let (whole, pieces) = cut(input);
    let now = moment();
    let outcome = serve(&[whole], now);
    assert_eq!(serve(&pieces, now), outcome);
    assert!(outcome.end.is_some());
    let is_plain = |octet: &u8| octet.is_ascii_graphic() || b" \r\n".contains(octet);
    assert!(outcome.sent.iter().all(is_plain) && outcome.sent.ends_with(b"\r\n"));
    for (transaction, content) in &outcome.messages {
        assert_eq!(transaction.octets, content.len() as u64);
        assert!(content.len() <= 300 && (1..=3).contains(&transaction.recipients.len()));
        if transaction.body_type != BodyType::BinaryMime {
            let text = String::from_utf8_lossy(content).replace("\r\n", "");
            assert!(!text.contains(['\r', '\n', '\0']), "a bare line end or NUL was let in");
        }
    }
}

fn settings() -> Arc<server::Settings> {
    use server::Extension::{
        BinaryMime, Chunking, DeliverBy, Dsn, EightBitMime, FutureRelease, Limits, MtPriority,
        SmtpUtf8,
    };
    let all = [
        BinaryMime,
        Chunking,
        DeliverBy,
        Dsn,
        EightBitMime,
        FutureRelease,
        Limits,
        MtPriority,
        SmtpUtf8,
    ];
    Arc::new(server::Settings {
        hostname: "relay.example".into(),
        message_octets_max: 300,
        recipients_max: 3,
        command_octets_max: 512,
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

/// What a login comes to depends on what was said, and on nothing else.
fn login(said: &server::Said) -> server::LoginVerdict {
    let reply = |code| Reply::new(code, None, "word");
    match said {
        server::Said::Auth(argument) if argument.len() % 3 == 0 => {
            server::LoginVerdict::Accept(reply(235))
        }
        server::Said::Auth(_) => server::LoginVerdict::Challenge(reply(334)),
        server::Said::Response(line) if line.len() % 3 == 1 => {
            server::LoginVerdict::Challenge(reply(334))
        }
        server::Said::Response(_) => server::LoginVerdict::Refuse(reply(535)),
    }
}

fn serve(pieces: &[&[u8]], now: Instant) -> Outcome {
    let security = server::Security { offers_starttls: true, requires_tls: false };
    let mut session = server::Session::new(settings(), security, now)
        .with_wall_clock(Timestamp::from_millis(1_795_286_760_000));
    session.offer_logins("PLAIN".into());
    let (mut outcome, mut body) = (Outcome::default(), None::<Vec<u8>>);
    let mut pieces = pieces.iter();
    loop {
        while let Some(step) = session.next_step() {
            match step {
                server::Step::Send(bytes) => outcome.sent.extend_from_slice(&bytes),
                server::Step::Ask(question) => {
                    if question == server::Question::Content {
                        assert!(body.replace(Vec::new()).is_none(), "one content at a time");
                    }
                    session.decide(verdict(&question), now);
                }
                server::Step::Body(bytes) => {
                    let Some(body) = &mut body else { panic!("content that nobody asked for") };
                    body.extend_from_slice(&bytes);
                }
                server::Step::Commit(transaction) => {
                    session.stored(&accepted(&transaction), now);
                    let Some(body) = body.take() else { panic!("no content") };
                    outcome.messages.push((*transaction, body));
                }
                server::Step::Abandon => assert!(body.take().is_some(), "no content"),
                server::Step::Login(said) => session.login(login(&said), now),
                server::Step::StartTls | server::Step::ForgetLogin => {}
                server::Step::Close(reason) => outcome.end = Some(reason),
            }
        }
        match pieces.next() {
            Some(piece) => session.receive(Bytes::copy_from_slice(piece), now),
            None if outcome.end.is_none() => session.input_ended(now),
            None => break,
        }
    }
    assert!(body.is_none(), "content is committed or abandoned");
    outcome
}

fn verdict(question: &server::Question) -> server::Verdict {
    match question {
        server::Question::Recipient { address } if address.as_str().starts_with("no") => {
            server::Verdict::Refuse(Reply::new(550, None, "no"))
        }
        _ => server::Verdict::Accept,
    }
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

/// Whatever a next hop says: each recipient has one answer, and is delivered only when the content was taken.
pub(crate) fn next_hop(input: &[u8]) {
    let (flags, rest) = input.split_at(input.len().min(1));
    let flags = flags.first().copied().unwrap_or_default();
    let (whole, pieces) = cut(rest);
    let extensions = client::Extensions {
        pipelining: flags & 1 != 0,
        chunking: flags & 2 != 0,
        dsn: flags & 4 != 0,
        ..client::Extensions::parse(str::from_utf8(whole).unwrap_or_default().lines())
    };
    let now = moment();
    let (sent, end) = hand_over(&pieces, extensions, now);
    let Some(end) = end else { panic!("no end") };
    assert_eq!(end.recipients.len(), 2);
    for answer in &end.recipients {
        if answer.fate == Fate::Delivered {
            assert!(answer.is_remote && answer.reply.is_success() && end.was_content_sent);
        }
    }
    // Nothing that is sent ends a content but its own end.
    let ends = sent.windows(5).filter(|window| window == b"\r\n.\r\n").count();
    assert!(ends <= 1, "{sent:?}");
}

const CONTENT: &[u8] = b"a: b\r\n\r\n.\r\n..\r\ntext\r\n.";

fn hand_over(
    pieces: &[&[u8]],
    extensions: client::Extensions,
    now: Instant,
) -> (Vec<u8>, Option<client::End>) {
    let recipients = ["a@b.example", "c@d.example"]
        .iter()
        .filter_map(|text| Address::parse(text).ok())
        .map(Recipient::from)
        .collect();
    let outgoing = client::Outgoing {
        sender: ReversePath::Null,
        recipients,
        octets: CONTENT.len() as u64,
        body_type: BodyType::SevenBit,
        needs_smtputf8: false,
        wishes: Box::default(),
        now: Timestamp::default(),
    };
    let mut transaction =
        client::Transaction::new(outgoing, extensions, client::Timeouts::default(), now);
    let (mut sent, mut end, mut has_body) = (Vec::new(), None, true);
    let mut pieces = pieces.iter();
    loop {
        while let Some(step) = transaction.next_step() {
            match step {
                client::Step::Send(bytes) => sent.extend_from_slice(&bytes),
                client::Step::NeedBody if has_body => {
                    has_body = false;
                    transaction.body(Bytes::from_static(CONTENT), now);
                }
                client::Step::NeedBody => transaction.body_ended(now),
                client::Step::Done(done) => end = Some(done),
            }
        }
        match pieces.next() {
            Some(bytes) if end.is_none() => transaction.receive(bytes, now),
            _ if end.is_some() => break,
            _ => transaction.closed(now),
        }
    }
    (sent, end)
}

fn moment() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from; none passes")]
    Instant::now()
}
