//! The real rspamd, without a network, and answers that it would not give.

use filters::config::{Config, Kind};
use filters::verdict::Action;
use mail::header::apply;
use testkit::daemon::rspamd::{GTUBE, rspamd};

use crate::service::Service;
use crate::world::{content, envelope, noted, one, said, session};

fn config(address: String) -> Config {
    Config { name: "rspamd".to_owned(), kind: Kind::Rspamd, address, ..Config::default() }
}

#[tokio::test]
async fn the_real_one_decides_and_changes() {
    let daemon = rspamd();
    let filters = one(config(format!("http://{}", daemon.address)));
    let letter = |line: &str| format!("Subject: hi\r\nX-Tell: 1\r\n\r\n{line}\r\n");
    let told = "192.0.2.7 c.example client.example alice 00000000000000000000000000 alice@example.com bob@example.net";
    let told = format!("X-Told: {told}\r\nSubject: hi\r\nX-Last: it\r\n\r\nplain\r\n");
    for (line, want, edited) in [
        ("plain".to_owned(), "continue", Some(told)),
        (format!("X{GTUBE}"), "554 5.7.1 Gtube pattern", None),
    ] {
        let mut session = session(&filters);
        session.helo("c.example").await;
        envelope(&mut session).await;
        let text = letter(&line);
        let verdict = session.content(content(&text)).await;
        assert_eq!(said(&verdict.action), want, "{:?}", verdict.notes);
        let changed = String::from_utf8(apply(text.as_bytes(), &verdict.edits())).unwrap();
        assert_eq!(changed, edited.unwrap_or(text));
        assert!(noted(&verdict.notes).contains(", score "), "{:?}", verdict.notes);
    }
    let mut session = session(&filters);
    envelope(&mut session).await;
    let text = format!("Subject: hi\r\n\r\nY{GTUBE}\r\n");
    let verdict = session.content(content(&text)).await;
    let changed = String::from_utf8(apply(text.as_bytes(), &verdict.edits())).unwrap();
    assert_eq!(changed, format!("Subject: hi\r\nX-Spam: Yes\r\n\r\nY{GTUBE}\r\n"));
    let text = format!("Subject: hi\r\n\r\nZ{GTUBE}\r\n");
    envelope(&mut session).await;
    let verdict = session.content(content(&text)).await;
    let changed = String::from_utf8(apply(text.as_bytes(), &verdict.edits())).unwrap();
    assert_eq!(changed, format!("Subject: [spam] hi\r\n\r\nZ{GTUBE}\r\n"), "{:?}", verdict.notes);
}

#[tokio::test]
async fn the_password_goes_along() {
    let service = Service::start(200, r#"{"action":"no action"}"#).await;
    let file = service.secret("open sesame");
    let (password_file, settings_id) = (Some(file), Some("outgoing".to_owned()));
    let filters = one(Config { password_file, settings_id, ..config(service.address()) });
    let mut session = session(&filters);
    envelope(&mut session).await;
    let verdict = session.content(content("A: b\r\n\r\nbody\r\n")).await;
    assert_eq!(verdict.action, Action::Continue);
    let asked = service.asked();
    assert!(asked[0].starts_with("POST /checkv2 HTTP/1.1\r\n"), "{}", asked[0]);
    for line in [
        "password: open sesame",
        "settings-id: outgoing",
        "tls-version: TLS1_3",
        "tls-cipher: TLS_AES_256_GCM_SHA384",
        "mta-name: relay.example",
    ] {
        assert!(asked[0].contains(&format!("\r\n{line}\r\n")), "{line} is missing in {}", asked[0]);
    }
    assert!(asked[0].ends_with("\r\n\r\nA: b\r\n\r\nbody\r\n"));
}

#[tokio::test]
async fn an_answer_that_breaks_out_fails() {
    let text = r#"{"action":"no action","milter":{"add_headers":{"X-A":"b\r\nBcc: c"}}}"#;
    let service = Service::start(200, text).await;
    let mut session = session(&one(config(service.address())));
    envelope(&mut session).await;
    let verdict = session.content(content("A: b\r\n\r\n")).await;
    assert!(said(&verdict.action).starts_with("451 4.7.1 "), "{verdict:?}");
    assert!(noted(&verdict.notes).contains("line end that folds nothing"), "{verdict:?}");
}
