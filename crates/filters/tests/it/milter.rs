//! What milters hear, and what becomes of what they say.

use filters::config::{Config, Stage};
use filters::verdict::Action;
use mail::header::apply;
use tempfile::tempdir;

use crate::scripted::{Milter, Say, agree, but_for, go_on, say};
use crate::world::{
    address, content, envelope, facts, noted, one, recipient, said, sender, session,
};

const LETTER: &str = "Subject: hi\r\nX-Old: 1\r\nTo: a,\r\n b\r\n\r\nbody\r\n";

#[tokio::test]
async fn a_session_is_told_in_order_with_its_macros() {
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let mut session = session(&one(milter.config()));
    assert_eq!(session.connect().await.action, Action::Continue);
    assert_eq!(session.helo("c.example").await.action, Action::Continue);
    let parameters = ["SIZE=9".into(), "BODY=8BITMIME".into()].into();
    assert_eq!(session.mail(sender(), parameters).await.action, Action::Continue);
    for to in ["bob@example.net", "carol@example.net"] {
        assert_eq!(session.rcpt(recipient(to)).await.action, Action::Continue);
    }
    let verdict = session.content(content(LETTER)).await;
    assert_eq!(
        (verdict.action, verdict.changes, verdict.notes),
        (Action::Continue, vec![], vec![])
    );
    assert_eq!(
        milter.heard(),
        [
            "C client.example 4\u{12}g192.0.2.7",
            "H c.example",
            "M <alice@example.com> SIZE=9 BODY=8BITMIME",
            "R <bob@example.net>",
            "R <carol@example.net>",
            "T",
            "L Subject hi",
            "L X-Old 1",
            "L To a,\n b",
            "N",
            "B body\r\n",
            "E",
        ]
    );
    let id = "00000000000000000000000000";
    let macros = milter.macros();
    assert!(macros[0].starts_with("D Cj relay.example {daemon_name} public v Chasqui "));
    assert!(macros[0].ends_with(
        " {daemon_addr} 192.0.2.1 {daemon_port} 25 _ client.example [192.0.2.7] {client_addr} 192.0.2.7 {client_port} 4711 {client_name} client.example {client_ptr} client.example"
    ));
    assert_eq!(
        macros[1..],
        [
            "D H{tls_version} TLS1_3 {cipher} TLS_AES_256_GCM_SHA384".to_owned(),
            format!(
                "D Mi {id} {{auth_type}} PLAIN {{auth_authen}} alice {{mail_addr}} alice@example.com {{mail_host}} example.com {{mail_mailer}} esmtp"
            ),
            format!(
                "D Ri {id} {{rcpt_addr}} bob@example.net {{rcpt_host}} example.net {{rcpt_mailer}} esmtp"
            ),
            format!(
                "D Ri {id} {{rcpt_addr}} carol@example.net {{rcpt_host}} example.net {{rcpt_mailer}} esmtp"
            ),
            format!("D Ti {id}"),
            format!("D Ni {id}"),
            format!("D Ei {id}"),
        ]
    );
}

#[tokio::test]
async fn changes_come_with_the_last_answer() {
    let end = Say::Packets(vec![
        (b'p', vec![]),
        (b'h', b"X-New\0last\0".to_vec()),
        (b'i', b"\0\0\0\0X-Top\0first\n\tfolded\0".to_vec()),
        (b'm', b"\0\0\0\x01x-old\0two\0".to_vec()),
        (b'm', b"\0\0\0\x01To\0\0".to_vec()),
        (b'+', b"<dave@example.net>\0".to_vec()),
        (b'2', b"<erin@example.net>\0NOTIFY=NEVER\0".to_vec()),
        (b'-', b"<bob@example.net>\0".to_vec()),
        (b'e', b"<>\0".to_vec()),
        (b'q', b"looks odd\0".to_vec()),
        (b'c', vec![]),
    ]);
    let milter = Milter::start(but_for(b'E', end)).await;
    let mut session = session(&one(milter.config()));
    envelope(&mut session).await;
    let verdict = session.content(content(LETTER)).await;
    assert_eq!(verdict.action, Action::Continue);
    let edited = apply(LETTER.as_bytes(), &verdict.edits());
    let want =
        "X-Top: first\r\n\tfolded\r\nSubject: hi\r\nx-old: two\r\nX-New: last\r\n\r\nbody\r\n";
    assert_eq!(String::from_utf8(edited).unwrap(), want);
    let others: Vec<_> = verdict.changes.iter().filter(|it| it.edit().is_none()).collect();
    assert_eq!(
        format!("{others:?}"),
        "[AddRecipient(<dave@example.net>), AddRecipient(<erin@example.net>), RemoveRecipient(<bob@example.net>), Sender(<>)]"
    );
    assert_eq!(verdict.hold.as_deref(), Some("scripted: looks odd"));
    assert_eq!(noted(&verdict.notes), "scripted at data: held; 8 changes");
}

#[tokio::test]
async fn what_a_milter_does_not_want_it_does_not_hear() {
    // No HELO, no headers, no DATA; silence at connect, MAIL, RCPT, end of headers and body; the leading space.
    let steps = 0x02 | 0x20 | 0x200 | 0x1000 | 0x4000 | 0x8000 | 0x4_0000 | 0x8_0000;
    let script = move |kind, _: &[u8]| match kind {
        b'O' => agree(0, steps),
        b'E' => say(b'y', b"550 5.6.0 seen\0"),
        _ => Say::Nothing,
    };
    let milter = Milter::start(script).await;
    let mut session = session(&one(milter.config()));
    session.connect().await;
    session.helo("c.example").await;
    envelope(&mut session).await;
    let verdict = session.content(content(LETTER)).await;
    assert_eq!(said(&verdict.action), "550 5.6.0 seen");
    assert_eq!(noted(&verdict.notes), "scripted at data: refused with 550 5.6.0 seen");
    let heard: String = milter.heard().iter().filter_map(|line| line.chars().next()).collect();
    assert_eq!(heard, "CMRNBE");
}

#[tokio::test]
async fn fields_keep_their_space_for_a_milter_that_wants_it() {
    let script = |kind, _: &[u8]| if kind == b'O' { agree(0, 0x10_0000) } else { go_on() };
    let milter = Milter::start(script).await;
    let mut session = session(&one(milter.config()));
    envelope(&mut session).await;
    session.content(content("A:  b\r\nC:d\r\n\r\n")).await;
    let fields: Vec<_> = milter.heard().into_iter().filter(|line| line.starts_with('L')).collect();
    assert_eq!(fields, ["L A   b", "L C d"]);
}

#[tokio::test]
async fn a_body_goes_in_pieces_until_the_milter_has_seen_enough() {
    for (answer, want) in [(go_on(), 4), (say(b's', b""), 1)] {
        let milter = Milter::start(but_for(b'B', answer)).await;
        let mut session = session(&one(milter.config()));
        envelope(&mut session).await;
        let text = ["A: b\r\n\r\n", &"x".repeat(200_000)].concat();
        assert_eq!(session.content(content(text)).await.action, Action::Continue);
        let heard = milter.heard();
        let bodies: Vec<_> = heard.iter().filter(|line| line.starts_with('B')).collect();
        assert!(bodies.len() >= want && (want > 1 || bodies.len() == 1), "{}", bodies.len());
        assert!(bodies.iter().all(|line| line.len() <= 65_535 + 2));
        assert_eq!(heard.last().unwrap(), "E");
    }
}

#[tokio::test]
async fn each_command_can_be_refused() {
    for (command, answer, want) in [
        (b'C', say(b'r', b""), "550 5.7.1 refused by a filter"),
        (b'H', say(b't', b""), "451 4.7.1 refused by a filter for now; try again later"),
        (b'M', say(b'y', b"550-5.1.8 no\r\n550 5.1.8 really\0"), "550 5.1.8 no really"),
        (b'R', say(b'y', b"450 4.2.0 100%% busy\0"), "450 4.2.0 100% busy"),
        (b'T', say(b'd', b""), "discard"),
        (b'L', say(b'r', b""), "550 5.7.1 refused by a filter"),
        (b'N', say(b'd', b""), "discard"),
        (b'B', say(b'y', b"421 4.3.0 go away\0"), "421 4.3.0 go away"),
        (b'E', say(b'd', b""), "discard"),
    ] {
        let milter = Milter::start(but_for(command, answer)).await;
        let mut session = session(&one(milter.config()));
        let mut found = vec![session.connect().await, session.helo("c.example").await];
        found.push(session.mail(sender(), Box::default()).await);
        found.push(session.rcpt(recipient("bob@example.net")).await);
        let mut found: Vec<_> = found.iter().map(|verdict| said(&verdict.action)).collect();
        found.push(said(&session.content(content(LETTER)).await.action));
        let at = b"CHMR".iter().position(|it| *it == command).unwrap_or(4);
        assert_eq!(found[at], want, "{}", command as char);
    }
}

#[tokio::test]
async fn a_refused_recipient_is_alone() {
    let script = |kind, content: &[u8]| match kind {
        b'O' => agree(0, 0),
        b'R' if content.starts_with(b"<bob") => say(b'r', b""),
        _ => go_on(),
    };
    let milter = Milter::start(script).await;
    let mut session = session(&one(milter.config()));
    session.mail(sender(), Box::default()).await;
    let bob = session.rcpt(recipient("bob@example.net")).await;
    assert_eq!(said(&bob.action), "550 5.7.1 refused by a filter");
    assert_eq!(session.rcpt(recipient("carol@example.net")).await.action, Action::Continue);
    assert_eq!(session.content(content(LETTER)).await.action, Action::Continue);
}

#[tokio::test]
async fn what_is_discarded_stays_so() {
    let milter = Milter::start(but_for(b'M', say(b'd', b""))).await;
    let mut session = session(&one(milter.config()));
    let verdict = session.mail(sender(), Box::default()).await;
    assert_eq!(
        (said(&verdict.action), noted(&verdict.notes)),
        ("discard".to_owned(), "scripted at mail: discarded".to_owned())
    );
    assert_eq!(session.rcpt(recipient("bob@example.net")).await.action, Action::Discard);
    assert_eq!(session.content(content(LETTER)).await.action, Action::Discard);
    assert_eq!(milter.heard().last().unwrap(), "M <alice@example.com>");
    session.helo("c.example").await;
    assert_eq!(said(&session.mail(sender(), Box::default()).await.action), "discard");
}

#[tokio::test]
async fn who_accepts_is_not_asked_again() {
    let milter = Milter::start(but_for(b'M', say(b'a', b""))).await;
    let mut session = session(&one(milter.config()));
    for _ in 0..2 {
        envelope(&mut session).await;
        assert_eq!(session.content_octets_max(), None);
        assert_eq!(session.content(content(LETTER)).await.action, Action::Continue);
    }
    let heard: String = milter.heard().iter().filter_map(|line| line.chars().next()).collect();
    assert_eq!(heard, "CMAM", "the next transaction is another one");
    let milter = Milter::start(but_for(b'C', say(b'a', b""))).await;
    let mut session = crate::world::session(&one(milter.config()));
    let verdict = session.connect().await;
    assert_eq!(noted(&verdict.notes), "scripted at connect: accepted");
    envelope(&mut session).await;
    assert_eq!(
        milter.heard().first().map(String::as_str),
        Some("C client.example 4\u{12}g192.0.2.7")
    );
    assert!(!milter.heard().iter().any(|line| line.starts_with('M')));
}

#[tokio::test]
async fn one_connection_serves_a_session() {
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let mut session = session(&one(milter.config()));
    session.connect().await;
    session.helo("c.example").await;
    envelope(&mut session).await;
    session.content(content(LETTER)).await;
    envelope(&mut session).await;
    session.abort();
    session.helo("d.example").await;
    envelope(&mut session).await;
    let heard: String = milter.heard().iter().filter_map(|line| line.chars().next()).collect();
    assert_eq!(heard, "CHMRTLLLNBEMRAHMR");
    assert_eq!(milter.connections(), 1);
}

#[tokio::test]
async fn a_milter_of_some_stages_hears_what_came_before() {
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let config = Config { stages: vec![Stage::Data], ..milter.config() };
    let mut session = session(&one(config));
    session.connect().await;
    session.helo("c.example").await;
    envelope(&mut session).await;
    assert_eq!(milter.connections(), 0, "nothing to ask yet");
    session.content(content(LETTER)).await;
    let heard: String = milter.heard().iter().filter_map(|line| line.chars().next()).collect();
    assert_eq!(heard, "CHMRTLLLNBE");
}

#[tokio::test]
async fn what_goes_out_is_told_at_once() {
    let milter = Milter::start(but_for(
        b'E',
        Say::Packets(vec![(b'h', b"X-A\0b\0".to_vec()), (b'c', vec![])]),
    ))
    .await;
    let config = Config {
        stages: vec![Stage::Delivery],
        applies_to: vec!["internet".to_owned()],
        ..milter.config()
    };
    let filters = one(config);
    assert!(filters.session(facts()).is_none(), "it has nothing to do with sessions");
    assert_eq!(filters.delivery_octets_max("public"), None);
    assert_eq!(filters.delivery_octets_max("internet"), Some(25 << 20));
    let mut facts = facts();
    (facts.scope, facts.helo) = ("internet".into(), "c.example".into());
    let to = vec![address("bob@example.net").into(), address("carol@example.net").into()];
    let verdict = filters.delivery(facts, (sender(), to), content(LETTER)).await;
    assert_eq!((verdict.action, verdict.changes.len()), (Action::Continue, 1));
    let heard: String = milter.heard().iter().filter_map(|line| line.chars().next()).collect();
    assert!(heard.starts_with("CHMRRTLLLNBE"), "{heard}");
}

#[tokio::test]
async fn a_unix_socket_serves_too() {
    let folder = tempdir().unwrap();
    let milter = Milter::start_at(&folder.path().join("it.sock"), but_for(b'M', say(b'r', b"")));
    let mut session = session(&one(milter.config()));
    let verdict = session.mail(sender(), Box::default()).await;
    assert_eq!(said(&verdict.action), "550 5.7.1 refused by a filter");
}
