//! What follows from what a next hop says: one row for each event.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is a finding")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::{Address, BodyType, ByMode, DeliverBy, Fate, ReversePath, Timestamp};
use smtp_session::client::{After, End, Extensions, Limits, Outgoing, Step, Timeouts, Transaction};

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "some moment to start from")]
    Instant::now()
}

fn outgoing(recipients: usize) -> Outgoing {
    let recipient = |index| Address::parse(&format!("r{index}@dest.example")).unwrap().into();
    Outgoing {
        sender: ReversePath::Null,
        recipients: (0..recipients).map(recipient).collect(),
        octets: 6,
        body_type: BodyType::SevenBit,
        needs_smtputf8: false,
        wishes: Box::default(),
        now: Timestamp::from_millis(NOW_MILLIS),
    }
}

const PIPELINING: Extensions = Extensions {
    pipelining: true,
    size: None,
    eight_bit_mime: false,
    smtputf8: false,
    starttls: false,
    chunking: false,
    binary_mime: false,
    enhanced_status_codes: false,
    dsn: false,
    require_tls: false,
    deliver_by: None,
    mt_priority: false,
    auth: false,
    limits: Limits { recipients_max: None, mails_max: None, domains_max: None },
};

const CHUNKING: Extensions = Extensions { chunking: true, ..PIPELINING };

const NOW_MILLIS: u64 = 1_795_286_760_000;

/// What the next hop does behind its replies.
#[derive(Clone, Copy)]
enum Then {
    Nothing,
    Closes,
    Stalls,
}

/// Plays replies one by one; gives the commands and the end.
fn play(recipients: usize, extensions: Extensions, replies: &[&str], then: Then) -> (String, End) {
    let mut at = now();
    let mut transaction =
        Transaction::new(outgoing(recipients), extensions, Timeouts::default(), at);
    let (mut sent, mut has_body) = (Vec::new(), true);
    let mut replies = replies.iter();
    loop {
        while let Some(step) = transaction.next_step() {
            match step {
                Step::Send(bytes) => sent.extend_from_slice(&bytes),
                Step::NeedBody if has_body => {
                    has_body = false;
                    transaction.body(Bytes::from_static(b"text\r\n"), at);
                }
                Step::NeedBody => transaction.body_ended(at),
                Step::Done(end) => {
                    assert_eq!(transaction.next_step(), None, "the end is the last step");
                    return (String::from_utf8(sent).unwrap(), end);
                }
            }
        }
        match (replies.next(), then) {
            (Some(reply), _) => transaction.receive(format!("{reply}\r\n").as_bytes(), at),
            (None, Then::Closes) => transaction.closed(at),
            (None, Then::Stalls) => {
                let before = transaction.deadline().checked_sub(Duration::from_secs(1)).unwrap();
                transaction.expire(before);
                assert_eq!(transaction.next_step(), None, "not yet");
                at = transaction.deadline();
                transaction.expire(at);
            }
            (None, Then::Nothing) => {
                panic!("waits for more behind {:?}", String::from_utf8_lossy(&sent))
            }
        }
    }
}

/// D delivered, d deferred, F failed, one letter for each recipient.
fn fates(end: &End) -> String {
    let letter = |fate| match fate {
        Fate::Delivered => 'D',
        Fate::Deferred => 'd',
        Fate::Failed => 'F',
    };
    end.recipients.iter().map(|answer| letter(answer.fate)).collect()
}

/// Two recipients; pipelined replies are the same as those to commands one by one, up to the first no.
fn check(replies: &[&str], then: Then, want: &str, connection: After) -> End {
    let (_, end) = play(2, PIPELINING, replies, then);
    assert_eq!((fates(&end).as_str(), end.connection), (want, connection), "{replies:?}: {end:?}");
    end
}

#[test]
fn a_yes_to_the_dot_is_final() {
    let end = check(
        &["250 ok", "250 ok", "250 ok", "354 go", "250 ok"],
        Then::Nothing,
        "DD",
        After::Reuse,
    );
    assert!(end.recipients.iter().all(|answer| answer.is_remote));
    check(&["250 ok", "251 ok", "252 ok", "354 go", "200 ok"], Then::Nothing, "DD", After::Reuse);
}

/// What comes behind the yes takes nothing back, but the connection is not trusted.
#[test]
fn what_follows_the_yes_changes_nothing() {
    let replies = ["250 ok", "250 ok", "250 ok", "354 go", "250 ok\r\n421 bye"];
    check(&replies, Then::Closes, "DD", After::Close);
}

#[test]
fn connection_lost_anywhere_keeps_the_message() {
    let replies = ["250 ok", "250 ok", "250 ok", "354 go"];
    for count in 0..=replies.len() {
        for then in [Then::Closes, Then::Stalls] {
            let end = check(&replies[..count], then, "dd", After::Close);
            assert!(end.recipients.iter().all(|answer| !answer.is_remote));
            assert!(end.recipients.iter().all(|answer| answer.reply.code() == 451));
            let is_closed = matches!(then, Then::Closes);
            assert_eq!(end.was_dead_before_first_reply, count == 0 && is_closed, "{count}");
        }
    }
}

#[test]
fn each_phase_has_its_wait() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let replies = ["250 ok", "250 ok", "250 ok", "354 go", "250 ok"];
    let waits = [5, 5, 5, 2, 10];
    let at = now();
    let mut transaction = Transaction::new(outgoing(2), PIPELINING, Timeouts::default(), at);
    for (reply, wait) in replies.iter().zip(waits) {
        while let Some(step) = transaction.next_step() {
            if step == Step::NeedBody {
                assert_eq!(transaction.deadline(), at + minutes(3), "a block");
                transaction.body_ended(at);
            }
        }
        assert_eq!(transaction.deadline(), at + minutes(wait), "before {reply}");
        transaction.receive(format!("{reply}\r\n").as_bytes(), at);
    }
    let Some(Step::Done(end)) = transaction.next_step() else { panic!("not over") };
    assert_eq!(fates(&end), "DD");
}

#[test]
fn service_closing_keeps_the_message() {
    let replies = ["250 ok", "250 ok", "250 ok", "354 go", "421 4.3.2 bye"];
    for count in 0..replies.len() {
        let mut said = replies[..count].to_vec();
        said.push("421 4.3.2 bye");
        let end = check(&said, Then::Nothing, "dd", After::Close);
        assert!(end.recipients.iter().all(|answer| answer.is_remote && answer.reply.code() == 421));
        assert_eq!(end.was_dead_before_first_reply, count == 0);
    }
}

#[test]
fn no_to_mail_is_for_all() {
    check(&["451 4.3.0 no", "503 no", "503 no", "503 no"], Then::Nothing, "dd", After::Reuse);
    check(&["550 5.7.1 no", "503 no", "503 no", "503 no"], Then::Nothing, "FF", After::Reuse);
    // It takes recipients and content all the same: a lone dot, whose answer means nothing.
    let (sent, end) = play(
        2,
        PIPELINING,
        &["550 5.7.1 no", "250 ok", "250 ok", "354 go", "250 ok"],
        Then::Nothing,
    );
    assert!(sent.ends_with("DATA\r\n.\r\n"), "{sent}");
    assert_eq!((fates(&end).as_str(), end.connection), ("FF", After::Reuse));
    assert!(end.recipients.iter().all(|answer| answer.reply.code() == 550));
    // Without PIPELINING nothing follows the no.
    let (sent, end) = play(2, Extensions::default(), &["550 5.7.1 no"], Then::Nothing);
    assert_eq!((sent.as_str(), fates(&end).as_str()), ("MAIL FROM:<>\r\n", "FF"));
}

#[test]
fn no_to_one_recipient_is_for_that_one() {
    check(
        &["250 ok", "450 4.2.1 busy", "250 ok", "354 go", "250 ok"],
        Then::Nothing,
        "dD",
        After::Reuse,
    );
    check(
        &["250 ok", "550 5.1.1 no", "250 ok", "354 go", "250 ok"],
        Then::Nothing,
        "FD",
        After::Reuse,
    );
    // Those that were taken share the answer to the dot; the other keeps its own.
    check(
        &["250 ok", "550 5.1.1 no", "250 ok", "354 go", "451 4.3.0 no"],
        Then::Nothing,
        "Fd",
        After::Reuse,
    );
    check(
        &["250 ok", "450 4.2.1 no", "250 ok", "354 go", "554 5.6.0 no"],
        Then::Nothing,
        "dF",
        After::Reuse,
    );
    check(&["250 ok", "550 5.1.1 no", "250 ok", "354 go"], Then::Closes, "Fd", After::Close);
}

#[test]
fn too_many_recipients_go_at_once_in_another_transaction() {
    for no in ["452 4.5.3 too many", "452 too many", "552 too many", "552 5.5.3 too many"] {
        let (_, end) =
            play(3, PIPELINING, &["250 ok", "250 ok", no, no, "354 go", "250 ok"], Then::Nothing);
        assert_eq!((fates(&end).as_str(), end.retry_rest.as_slice()), ("Ddd", &[1, 2][..]), "{no}");
    }
    // None was taken before it, or the status says something else: later, as any 4yz. A 552 is never final.
    for no in ["452 4.3.1 full", "552 5.2.2 mailbox full", "452 4.2.2 mailbox full"] {
        let (_, end) =
            play(2, PIPELINING, &["250 ok", "250 ok", no, "354 go", "250 ok"], Then::Nothing);
        assert_eq!((fates(&end).as_str(), end.retry_rest.len()), ("Dd", 0), "{no}");
    }
    let end = check(
        &["250 ok", "552 no", "452 no", "503 no", "250 reset"],
        Then::Nothing,
        "dd",
        After::Reuse,
    );
    assert_eq!(end.retry_rest, [] as [usize; 0]);
    // Nobody got it: the rest would go the same way.
    let (_, end) =
        play(2, PIPELINING, &["250 ok", "250 ok", "452 many", "354 go", "451 no"], Then::Nothing);
    assert_eq!((fates(&end).as_str(), end.retry_rest.len()), ("dd", 0));
}

#[test]
fn no_to_data_is_for_those_taken() {
    check(
        &["250 ok", "550 no", "250 ok", "451 no", "250 reset"],
        Then::Nothing,
        "Fd",
        After::Reuse,
    );
    check(
        &["250 ok", "450 no", "250 ok", "554 no", "250 reset"],
        Then::Nothing,
        "dF",
        After::Reuse,
    );
    // A RSET that fails spoils the connection, not the answers.
    check(&["250 ok", "450 no", "250 ok", "554 no", "500 what"], Then::Nothing, "dF", After::Close);
    check(&["250 ok", "450 no", "250 ok", "554 no"], Then::Closes, "dF", After::Close);
    check(&["250 ok", "450 no", "250 ok", "554 no"], Then::Stalls, "dF", After::Close);
}

#[test]
fn without_recipients_no_content_goes() {
    let replies = ["250 ok", "550 no", "450 no", "354 go", "250 ok"];
    let (sent, end) = play(2, PIPELINING, &replies, Then::Nothing);
    assert!(sent.ends_with("DATA\r\n.\r\n"), "{sent}");
    assert_eq!((fates(&end).as_str(), end.connection), ("Fd", After::Reuse));
    let (sent, end) =
        play(2, Extensions::default(), &["250 ok", "550 no", "450 no", "250 reset"], Then::Nothing);
    assert!(sent.ends_with("r1@dest.example>\r\nRSET\r\n"), "{sent}");
    assert_eq!((fates(&end).as_str(), end.connection), ("Fd", After::Reuse));
}

#[test]
fn no_to_the_dot() {
    check(
        &["250 ok", "250 ok", "250 ok", "354 go", "451 4.3.0 no"],
        Then::Nothing,
        "dd",
        After::Reuse,
    );
    check(
        &["250 ok", "250 ok", "250 ok", "354 go", "552 5.3.4 no"],
        Then::Nothing,
        "FF",
        After::Reuse,
    );
}

#[test]
fn what_is_no_reply_is_no_yes() {
    let replies = ["250 ok", "250 ok", "250 ok", "354 go", "250 ok"];
    for noise in [
        "ok",
        "",
        "25",
        "2500 ok",
        "250ok",
        "650 ok",
        "150 ok",
        "250-a\r\n251 b",
        "250 a\nb",
        "350 ok",
        "250 \0",
    ] {
        for count in 0..replies.len() {
            let mut said = replies[..count].to_vec();
            said.extend([noise, "250 ok", "221 bye"]);
            let end = check(&said, Then::Nothing, "dd", After::Close);
            assert!(!end.was_dead_before_first_reply);
        }
    }
    // Well-formed, but not what can stand there.
    for said in [&["354 go"][..], &["250 ok", "354 go"], &["250 ok", "250 ok", "250 ok", "250 ok"]]
    {
        check(said, Then::Nothing, "dd", After::Close);
    }
}

/// An answer that comes while content goes out is a no, whatever follows.
#[test]
fn an_early_answer_ends_it() {
    let at = now();
    for (reply, want) in
        [("250 ok", "dd"), ("452 4.3.1 full", "dd"), ("552 5.3.4 too big", "FF"), ("421 bye", "dd")]
    {
        let mut transaction = Transaction::new(outgoing(2), PIPELINING, Timeouts::default(), at);
        transaction.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", at);
        while let Some(step) = transaction.next_step() {
            if step == Step::NeedBody {
                break;
            }
        }
        transaction.body(Bytes::from_static(b"text\r\n"), at);
        transaction.receive(format!("{reply}\r\n").as_bytes(), at);
        let Some(Step::Done(end)) = transaction.next_step() else { panic!("not over: {reply}") };
        assert_eq!((fates(&end).as_str(), end.connection), (want, After::Close), "{reply}");
    }
}

#[test]
fn what_the_next_hop_does_not_offer_fails_here() {
    let at = now();
    let check = |change: fn(&mut Outgoing), extensions: Extensions, want: Option<&str>| {
        let mut outgoing = outgoing(2);
        change(&mut outgoing);
        let mut transaction = Transaction::new(outgoing, extensions, Timeouts::default(), at);
        match (transaction.next_step(), want) {
            (Some(Step::Done(end)), Some(want)) => {
                assert_eq!((fates(&end).as_str(), end.connection), ("FF", After::Reuse));
                let reply = end.recipients[0].reply.to_string();
                assert!(reply.starts_with(want) && !end.recipients[0].is_remote, "{reply}");
            }
            (Some(Step::Send(_) | Step::NeedBody), None) => {}
            other => panic!("{other:?}"),
        }
    };
    let size = |octets| Extensions { size: Some(octets), ..PIPELINING };
    check(|it| it.needs_smtputf8 = true, PIPELINING, Some("550 5.6.7"));
    check(|it| it.needs_smtputf8 = true, Extensions { smtputf8: true, ..PIPELINING }, None);
    check(|it| it.body_type = BodyType::EightBitMime, PIPELINING, Some("554 5.6.3"));
    check(
        |it| it.body_type = BodyType::EightBitMime,
        Extensions { eight_bit_mime: true, ..PIPELINING },
        None,
    );
    let binary: fn(&mut Outgoing) = |it| it.body_type = BodyType::BinaryMime;
    let takes_binary = Extensions { binary_mime: true, ..PIPELINING };
    check(binary, takes_binary, Some("554 5.6.1"));
    check(binary, CHUNKING, Some("554 5.6.1"));
    check(binary, Extensions { chunking: true, ..takes_binary }, None);
    let secret: fn(&mut Outgoing) = |it| it.wishes.requires_tls = true;
    check(secret, PIPELINING, Some("550 5.7.30"));
    check(secret, Extensions { require_tls: true, ..PIPELINING }, None);
    let wide: fn(&mut Outgoing) =
        |it| it.sender = ReversePath::Address(Address::parse("ö@b").unwrap());
    check(wide, PIPELINING, Some("550 5.6.7"));
    check(wide, Extensions { smtputf8: true, ..PIPELINING }, None);
    // Ten seconds are left.
    let hurried: fn(&mut Outgoing) = |it| {
        it.wishes.deliver_by = Some(DeliverBy {
            at: Timestamp::from_millis(NOW_MILLIS + 10_000),
            mode: ByMode::Return,
            is_traced: false,
        });
    };
    let least = |seconds| Extensions { deliver_by: Some(seconds), ..PIPELINING };
    check(hurried, PIPELINING, Some("550 5.4.7"));
    check(hurried, least(11), Some("550 5.4.7"));
    check(hurried, least(10), None);
    let told: fn(&mut Outgoing) = |it| {
        it.wishes.deliver_by = Some(DeliverBy {
            at: Timestamp::from_millis(1),
            mode: ByMode::Notify,
            is_traced: false,
        });
    };
    check(told, PIPELINING, None);
    check(told, least(11), None);
    check(|it| it.octets = 1001, size(Some(1000)), Some("552 5.3.4"));
    check(|it| it.octets = 1000, size(Some(1000)), None);
    check(|it| it.octets = 1001, size(None), None);
}

/// Many recipients do not go out in one flood, so that neither side waits for the other to read.
#[test]
fn unanswered_commands_are_bounded() {
    let at = now();
    let mut transaction = Transaction::new(outgoing(1000), PIPELINING, Timeouts::default(), at);
    let (mut sent, mut answered) = (String::new(), 0);
    loop {
        while let Some(Step::Send(bytes)) = transaction.next_step() {
            sent.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        let commands = sent.matches("\r\n").count();
        assert!(commands - answered <= 100);
        if sent.ends_with("DATA\r\n") {
            break;
        }
        transaction.receive(b"250 ok\r\n", at);
        answered += 1;
    }
    assert_eq!(sent.matches("RCPT").count(), 1000);
}

/// Large content is not copied; small content goes out in one piece with its dot.
#[test]
fn content_goes_out_in_few_pieces() {
    let at = now();
    for (octets, pieces) in [(500, 1), (5000, 2), (100_000, 2)] {
        let mut transaction = Transaction::new(outgoing(1), PIPELINING, Timeouts::default(), at);
        let Some(Step::Send(_)) = transaction.next_step() else { panic!("no commands") };
        transaction.receive(b"250 ok\r\n250 ok\r\n354 go\r\n", at);
        let chunk = Bytes::from(vec![b'x'; octets]);
        let mut sent = Vec::new();
        let mut chunks = [chunk.clone(), Bytes::from_static(b"\r\nend\r\n")].into_iter();
        while let Some(step) = transaction.next_step() {
            match step {
                Step::Send(bytes) => sent.push(bytes),
                Step::NeedBody => match chunks.next() {
                    Some(chunk) => transaction.body(chunk, at),
                    None => transaction.body_ended(at),
                },
                Step::Done(_) => panic!("over"),
            }
        }
        assert!(sent.len() <= pieces, "{}", sent.len());
        assert_eq!(sent.concat(), [&chunk[..], b"\r\nend\r\n.\r\n"].concat());
        assert!(pieces == 1 || sent[0].as_ptr() == chunk.as_ptr(), "it was copied");
    }
}

/// A yes that comes before the dot is written is none: the next hop does not have the message. A no counts, but what
/// was not written makes the connection useless.
#[test]
fn an_answer_before_the_dot_is_written_is_no_yes() {
    for (is_given_out, reply, want) in
        [(false, "250 ok", "d"), (true, "250 ok", "d"), (true, "552 too big", "F")]
    {
        let at = now();
        let mut transaction = Transaction::new(outgoing(1), PIPELINING, Timeouts::default(), at);
        while transaction.next_step().is_some() {}
        transaction.receive(b"250 ok\r\n250 ok\r\n354 go\r\n", at);
        transaction.body(Bytes::from_static(b"text\r\n"), at);
        transaction.body_ended(at);
        let reply = format!("{reply}\r\n");
        if is_given_out {
            assert!(matches!(transaction.next_step(), Some(Step::Send(_))));
            transaction.receive_early(reply.as_bytes(), at);
        } else {
            transaction.receive(reply.as_bytes(), at);
        }
        let Some(Step::Done(end)) = transaction.next_step() else { panic!("it is over") };
        assert_eq!((fates(&end).as_str(), end.connection), (want, After::Close));
    }
}

/// A small message and its commands are one flight; the replies decide as ever.
#[test]
fn chunks_go_out_with_the_commands() {
    let replies = ["250 ok", "250 ok", "550 5.1.1 no", "250 2.0.0 queued"];
    let (sent, end) = play(2, CHUNKING, &replies, Then::Nothing);
    assert!(sent.ends_with("<r1@dest.example>\r\nBDAT 6 LAST\r\ntext\r\n"), "{sent}");
    assert_eq!((fates(&end).as_str(), end.connection), ("DF", After::Reuse));
    assert!(end.was_content_sent);
    // Nobody was taken, or MAIL was not: the content was in vain, and the session goes on behind RSET.
    for replies in [
        &["250 ok", "550 no", "550 no", "503 no", "250 reset"][..],
        &["550 no", "503 no", "503 no", "503 no", "250 reset"],
        &["550 no", "503 no", "503 no", "250 taken all the same", "250 reset"],
    ] {
        let (sent, end) = play(2, CHUNKING, replies, Then::Nothing);
        assert!(sent.ends_with("text\r\nRSET\r\n"), "{sent}");
        assert_eq!((fates(&end).as_str(), end.connection), ("FF", After::Reuse));
    }
    // A no to the content is for those that were taken.
    let replies = ["250 ok", "250 ok", "450 4.2.1 no", "554 5.6.0 no", "250 reset"];
    let (_, end) = play(2, CHUNKING, &replies, Then::Nothing);
    assert_eq!((fates(&end).as_str(), end.connection), ("Fd", After::Reuse));
    // What is lost before the last reply may have arrived, but a 421 before it says that it has not.
    for count in 0..=3 {
        let replies = ["250 ok", "250 ok", "250 ok"];
        let (_, end) = play(2, CHUNKING, &replies[..count], Then::Closes);
        assert_eq!((fates(&end).as_str(), end.connection), ("dd", After::Close));
        assert!(end.was_content_sent);
        let mut said = replies[..count].to_vec();
        said.push("421 4.3.2 bye");
        let (_, end) = play(2, CHUNKING, &said, Then::Nothing);
        assert_eq!((fates(&end).as_str(), end.was_content_sent), ("dd", count == 3), "{count}");
    }
}

/// Without PIPELINING, or with much content, whether anybody is taken is waited for.
#[test]
fn chunks_wait_for_the_replies_where_they_must() {
    let slow = Extensions { pipelining: false, ..CHUNKING };
    let (sent, end) = play(1, slow, &["250 ok", "550 no", "250 reset"], Then::Nothing);
    assert!(!sent.contains("BDAT"), "{sent}");
    assert_eq!(fates(&end), "F");
    let (sent, end) = play(1, slow, &["250 ok", "250 ok", "250 ok"], Then::Nothing);
    assert!(sent.ends_with("BDAT 6 LAST\r\ntext\r\n"), "{sent}");
    assert_eq!(fates(&end), "D");

    let at = now();
    let mut large = outgoing(1);
    large.octets = 100_000;
    let mut transaction = Transaction::new(large, CHUNKING, Timeouts::default(), at);
    assert!(matches!(transaction.next_step(), Some(Step::Send(_))));
    assert_eq!(transaction.next_step(), None);
    transaction.receive(b"250 ok\r\n250 ok\r\n", at);
    assert_eq!(transaction.next_step(), Some(Step::NeedBody));
}

/// A content that is not as long as was said must not run into the commands, nor be taken for whole.
#[test]
fn content_of_another_length_ends_it() {
    for pieces in [&[&b"text"[..]][..], &[b"text\r\n", b"QUIT\r\n"]] {
        let at = now();
        let mut transaction = Transaction::new(outgoing(1), CHUNKING, Timeouts::default(), at);
        let (mut sent, mut pieces) = (Vec::new(), pieces.iter());
        let end = loop {
            match transaction.next_step() {
                Some(Step::Send(bytes)) => sent.extend_from_slice(&bytes),
                Some(Step::NeedBody) => match pieces.next() {
                    Some(piece) => transaction.body(Bytes::from_static(piece), at),
                    None => transaction.body_ended(at),
                },
                Some(Step::Done(end)) => break end,
                None => panic!("waits"),
            }
        };
        assert_eq!((fates(&end).as_str(), end.connection), ("d", After::Close));
        assert!(!String::from_utf8(sent).unwrap().contains("QUIT"));
    }
}

/// What the server takes at a time is kept to; the rest goes at once in another transaction.
#[test]
fn limits_are_kept_to() {
    let limits = |recipients_max, domains_max| Extensions {
        limits: Limits { recipients_max, mails_max: None, domains_max },
        ..PIPELINING
    };
    let replies = ["250 ok", "250 ok", "250 ok", "354 go", "250 ok"];
    let (sent, end) = play(5, limits(Some(2), None), &replies, Then::Nothing);
    assert_eq!(sent.matches("RCPT").count(), 2);
    assert_eq!((fates(&end).as_str(), end.retry_rest.as_slice()), ("DDddd", &[2, 3, 4][..]));
    // Nobody was taken: the others are tried all the same.
    let replies = ["250 ok", "550 no", "550 no", "503 no", "250 reset"];
    let (_, end) = play(3, limits(Some(2), None), &replies, Then::Nothing);
    assert_eq!((fates(&end).as_str(), end.retry_rest.as_slice()), ("FFd", &[2][..]));
    // A no to MAIL is for all, and a lost connection leaves nothing to be sent on it.
    let replies = ["550 no", "503 no", "503 no", "503 no"];
    let (_, end) = play(3, limits(Some(2), None), &replies, Then::Nothing);
    assert_eq!((fates(&end).as_str(), end.retry_rest.len()), ("FFF", 0));
    let (_, end) = play(3, limits(Some(2), None), &["250 ok"], Then::Closes);
    assert_eq!((fates(&end).as_str(), end.retry_rest.len()), ("ddd", 0));

    let at = now();
    let mut outgoing = outgoing(0);
    outgoing.recipients = ["a@x.example", "b@y.example", "c@X.example", "d@z.example"]
        .map(|text| Address::parse(text).unwrap().into())
        .into();
    let mut transaction =
        Transaction::new(outgoing, limits(None, Some(2)), Timeouts::default(), at);
    let Some(Step::Send(bytes)) = transaction.next_step() else { panic!("nothing to send") };
    let sent = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(sent.contains("<c@X.example>") && !sent.contains("<d@z.example>"), "{sent}");
}

/// A recipient that needs SMTPUTF8 keeps nobody else from the message.
#[test]
fn an_address_beyond_ascii_fails_alone() {
    let at = now();
    let mut outgoing = outgoing(1);
    outgoing.recipients.insert(0, Address::parse("jös@dest.example").unwrap().into());
    let mut transaction = Transaction::new(outgoing, PIPELINING, Timeouts::default(), at);
    transaction.receive(b"", at);
    while transaction.next_step().is_some() {}
    transaction.receive(b"250 ok\r\n550 5.1.1 no\r\n503 no\r\n", at);
    while transaction.next_step().is_some_and(|step| matches!(step, Step::Send(_))) {}
    transaction.receive(b"250 reset\r\n", at);
    let Some(Step::Done(end)) = transaction.next_step() else { panic!("not over") };
    let replies: Vec<_> = end.recipients.iter().map(|answer| answer.reply.to_string()).collect();
    assert!(replies[0].starts_with("550 5.6.7") && replies[1] == "550 5.1.1 no", "{replies:?}");
}
