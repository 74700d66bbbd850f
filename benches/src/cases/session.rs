//! What codec and session cost for a message, without sockets and spool.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::{Accepted, BodyType, MessageId, Timestamp};
use smtp_session::client::{self, After, Extensions, Outgoing, Timeouts};
use smtp_session::server::{Offers, Security, Session, Settings, Step, Verdict};
use units::Clock;

use crate::case::{Amount, Case};
use crate::inputs::{self, KIB, Lines};

const BEGIN: &str = "MAIL FROM:<orders+2026-11@source.example> SIZE=10240 BODY=8BITMIME\r\n\
    RCPT TO:<first.last@department.destination.example>\r\n";
const ENVELOPE_REPLIES: &str =
    "250 2.1.0 sender OK\r\n250 2.1.5 recipient OK\r\n354 end with CRLF.CRLF\r\n";
const DOT_REPLY: &str = "250 2.0.0 OK queued as 06fz3k8q4r5s6t7v8w9x0y1z2a\r\n";

pub(super) fn cases() -> Vec<Case> {
    let content = |kib: usize| inputs::content(kib * 1024, Lines::Plain);
    let mut cases =
        vec![Case::new("server_session", "greeting_and_ehlo", Amount::Elements(1), || {
            move || {
                black_box(begun(Clock::system().now()));
            }
        })];
    cases.extend(KIB.map(|kib| by_data(format!("{kib}KiB"), content(kib))));
    cases.extend(KIB.map(|kib| by_bdat(format!("{kib}KiB_bdat"), content(kib))));
    cases.extend(KIB.map(|kib| send(format!("{kib}KiB"), content(kib))));
    cases
}

fn by_data(input: String, content: Bytes) -> Case {
    let octets = content.len();
    let reads = move || {
        let mut reads = vec![Bytes::from(format!("{BEGIN}DATA\r\n"))];
        reads.extend(inputs::reads(&inputs::stuffed(content.clone())));
        reads
    };
    receive(input, octets, reads)
}

fn by_bdat(input: String, content: Bytes) -> Case {
    let octets = content.len();
    let reads = move || {
        let mut reads = vec![Bytes::from(format!("{BEGIN}BDAT {octets} LAST\r\n"))];
        reads.extend(inputs::reads(&content));
        reads
    };
    receive(input, octets, reads)
}

/// One transaction on a session that goes on.
fn receive(input: String, octets: usize, reads: impl Fn() -> Vec<Bytes> + 'static) -> Case {
    Case::new("server_session", input, Amount::Octets(octets), move || {
        let (now, reads) = (Clock::system().now(), reads());
        let accepted = Accepted {
            id: MessageId::new(1_795_286_760_007, 0x00ab_cdef),
            envelope: Arc::new(inputs::envelope(1)),
            received_at: Timestamp::from_millis(1_795_286_760_007),
            octets: octets as u64,
        };
        let mut session = begun(now);
        move || {
            let mut stored = 0;
            for read in &reads {
                session.receive(read.clone(), now);
                stored += run(&mut session, &accepted, now);
            }
            assert_eq!(stored, 1, "the message was not taken");
        }
    })
}

/// A session behind EHLO.
fn begun(now: Instant) -> Session {
    let settings = Settings {
        hostname: "relay.example".into(),
        message_octets_max: 50 << 20,
        recipients_max: 100,
        command_octets_max: 4096,
        header_octets_max: 1 << 20,
        text_line_octets_max: 1 << 20,
        takes_nul: false,
        hops_max: 100,
        bad_commands_max: 20,
        idle_wait_max: Duration::from_mins(5),
        data_wait_max: Duration::from_mins(5),
        data_rate_min: 100,
        session_wait_max: Duration::from_hours(24),
        transactions_max: u32::MAX,
        offers: Offers::default(),
    };
    let security = Security { offers_starttls: false, requires_tls: false };
    let mut session = Session::new(Arc::new(settings), security, now);
    session.receive(Bytes::from_static(b"EHLO mx2.source.example\r\n"), now);
    while let Some(step) = session.next_step() {
        black_box(step);
    }
    session
}

/// Does what the session says, as a relay would that takes everything; returns how many messages it was given.
fn run(session: &mut Session, accepted: &Accepted, now: Instant) -> usize {
    let mut stored = 0;
    while let Some(step) = session.next_step() {
        match step {
            Step::Ask(_) => session.decide(Verdict::Accept, now),
            Step::Commit(transaction) => {
                black_box(transaction);
                session.stored(accepted, now);
                stored += 1;
            }
            step => drop(black_box(step)),
        }
    }
    stored
}

/// One transaction with a next hop that offers PIPELINING.
fn send(input: String, content: Bytes) -> Case {
    Case::new("client_session", input, Amount::Octets(content.len()), move || {
        let now = Clock::system().now();
        let envelope = inputs::envelope(1);
        let outgoing = Outgoing {
            sender: envelope.sender,
            recipients: envelope.recipients,
            octets: content.len() as u64,
            body_type: BodyType::SevenBit,
            needs_smtputf8: false,
            wishes: Box::new(envelope.wishes),
            now: Timestamp::default(),
        };
        let extensions = Extensions {
            pipelining: true,
            size: Some(Some(50 << 20)),
            eight_bit_mime: true,
            ..Extensions::default()
        };
        let content = content.clone();
        move || {
            let outgoing = black_box(&outgoing).clone();
            let mut transaction =
                client::Transaction::new(outgoing, extensions, Timeouts::default(), now);
            assert_eq!(hand_over(&mut transaction, &content, now), After::Reuse);
        }
    })
}

/// Plays driver and next hop.
fn hand_over(transaction: &mut client::Transaction, content: &Bytes, now: Instant) -> After {
    let mut replies = [ENVELOPE_REPLIES, DOT_REPLY].into_iter();
    let mut content = Some(content.clone());
    loop {
        match transaction.next_step() {
            Some(client::Step::Send(octets)) => drop(black_box(octets)),
            Some(client::Step::NeedBody) => match content.take() {
                Some(content) => transaction.body(content, now),
                None => transaction.body_ended(now),
            },
            Some(client::Step::Done(end)) => return black_box(end).connection,
            None => match replies.next() {
                Some(reply) => transaction.receive(black_box(reply.as_bytes()), now),
                None => transaction.closed(now),
            },
        }
    }
}
