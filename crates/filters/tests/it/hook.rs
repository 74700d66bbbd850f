//! Hooks of the operator's own.

use filters::Filters;
use filters::config::{Config, Kind, OnFailure, Shown, Stage};
use filters::verdict::Action;
use serde_json::Value;
use telemetry::Registry;
use units::{Clock, Span};

use crate::service::Service;
use crate::world::{
    SHORT, content, envelope, facts, noted, one, recipient, said, sender, session, with_clock,
};

fn config(service: &Service, stages: &[Stage]) -> Config {
    Config {
        name: "hook".to_owned(),
        kind: Kind::Http,
        address: service.address() + "/ask",
        stages: stages.to_vec(),
        ..Config::default()
    }
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn each_stage_is_posted() {
    let service = Service::start(200, r#"{"action":"continue"}"#).await;
    let filters = one(config(&service, &Stage::ALL));
    let mut session = session(&filters);
    session.connect().await;
    session.helo("c.example").await;
    session.mail(sender(), Box::default()).await;
    session.rcpt(recipient("bob@example.net")).await;
    session.rcpt(recipient("carol@example.net")).await;
    assert_eq!(session.content(content("A: b\r\n\r\nbody\r\n")).await.action, Action::Continue);
    let to = vec![recipient("bob@example.net")];
    filters.delivery(facts(), (sender(), to), content("A: b\r\n\r\n")).await;
    let posts: Vec<_> = service.asked().iter().map(|request| body(request)).collect();
    let stages: Vec<_> = posts.iter().map(|post| post["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["connect", "helo", "mail", "rcpt", "rcpt", "data", "delivery"]);
    assert_eq!(posts[0]["client"]["address"], "192.0.2.7");
    assert_eq!(posts[1]["helo"], "c.example");
    assert_eq!(posts[2]["sender"]["address"], "alice@example.com");
    assert_eq!(posts[4]["recipient"]["address"], "carol@example.net");
    assert_eq!(posts[4]["recipients"][0]["address"], "bob@example.net");
    assert_eq!(posts[5]["recipients"].as_array().unwrap().len(), 2);
    assert_eq!(posts[5]["content"]["header"][0][1], "b");
}

#[tokio::test]
async fn its_word_counts() {
    let service = Service::start(
        200,
        r#"{"action":"reject","reply":{"code":550,"status":"5.1.1","text":"no such user"}}"#,
    )
    .await;
    let filters = one(config(&service, &[Stage::Rcpt, Stage::Data]));
    let mut session = session(&filters);
    session.mail(sender(), Box::default()).await;
    let verdict = session.rcpt(recipient("bob@example.net")).await;
    assert_eq!(said(&verdict.action), "550 5.1.1 no such user");
    service.answers(
        200,
        r#"{"action":"hold","reason":"ask Eve","class":"bulk","headers":[{"add":"X-A","value":"b"}]}"#,
    );
    let verdict = session.content(content("A: b\r\n\r\n")).await;
    assert_eq!(
        (verdict.class.as_deref(), verdict.hold.as_deref()),
        (Some("bulk"), Some("hook: ask Eve"))
    );
    assert_eq!(
        (verdict.changes.len(), noted(&verdict.notes)),
        (1, "hook at data: held; 1 change; ask Eve".to_owned())
    );
}

#[tokio::test]
async fn posts_show_who_sent_them() {
    let service = Service::start(200, r#"{"action":"continue"}"#).await;
    let config = Config {
        token_file: Some(service.secret("token")),
        signature_key_file: Some(service.secret("key")),
        shown: Shown::Content,
        ..config(&service, &[])
    };
    let clock = Clock::manual(1_700_000_000_000);
    let mut session = session(&with_clock(&[config], &clock));
    envelope(&mut session).await;
    session.content(content("A: b\r\n\r\nbody\r\n")).await;
    let asked = service.asked();
    assert!(asked[0].contains("\r\nauthorization: Bearer token\r\n"), "{}", asked[0]);
    assert!(asked[0].contains("\r\nx-chasqui-signature: t=1700000000,v1="), "{}", asked[0]);
    assert_eq!(body(&asked[0])["content"]["base64"], "QTogYg0KDQpib2R5DQo=");
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure() {
    let service = Service::start(200, "").await;
    let large = format!(r#"{{"action":"continue","reason":"{}"}}"#, "x".repeat(1 << 20));
    for (code, text, words) in [
        (200, "", "its answer cannot be read"),
        (200, r#"{"action":"continue","more":1}"#, "unknown field"),
        (200, r#"{"action":"reject","reply":{"code":250,"text":"ok"}}"#, "code is not 5yz"),
        (200, r#"{"action":"hold"}"#, "before its content is there"),
        (302, r#"{"action":"continue"}"#, "status 302"),
        (500, r#"{"action":"continue"}"#, "status 500"),
        (200, large.as_str(), "larger than 1 MiB"),
    ] {
        service.answers(code, text);
        for (on_failure, want) in
            [(OnFailure::Tempfail, "451 4.7.1 a filter cannot"), (OnFailure::Accept, "continue")]
        {
            let filters = one(Config { on_failure, ..config(&service, &[Stage::Connect]) });
            let verdict = session(&filters).connect().await;
            assert!(said(&verdict.action).starts_with(want), "{words}: {verdict:?}");
            assert!(noted(&verdict.notes).contains(words), "{verdict:?}");
        }
    }
    service.hangs();
    let patience = Config {
        answer_wait_max: SHORT,
        content_wait_max: Span::millis(200),
        ..config(&service, &[])
    };
    let stages = vec![Stage::Connect, Stage::Data];
    let mut session = session(&one(Config { stages, on_failure: OnFailure::Accept, ..patience }));
    let verdict = session.connect().await;
    assert!(noted(&verdict.notes).contains("did not answer in time"), "{verdict:?}");
    envelope(&mut session).await;
    let verdict = session.content(content("A: b\r\n\r\n")).await;
    assert!(noted(&verdict.notes).contains("did not answer in time"), "{verdict:?}");
}

#[tokio::test]
async fn wrong_settings_are_told() {
    let service = Service::start(200, "").await;
    let good = || config(&service, &[]);
    let secret = || Some(service.secret("token"));
    let far = || "http://a.example/".to_owned();
    let rspamd = |config| Config { kind: Kind::Rspamd, ..config };
    let milter = |config| Config { kind: Kind::Milter, ..config };
    for (configs, words) in [
        (vec![Config { name: String::new(), ..good() }], "name: is missing"),
        (vec![good(), good()], "name: is the name of another filter too"),
        (vec![Config { address: "nowhere".to_owned(), ..good() }], "address: is not an address"),
        (vec![milter(good())], "address: is neither `inet:host:port`"),
        (
            vec![Config { token_file: secret(), address: far(), ..good() }],
            "token_file: is only sent over TLS",
        ),
        (
            vec![rspamd(Config { password_file: secret(), address: far(), ..good() })],
            "password_file: is only sent over TLS",
        ),
        (
            vec![Config { token_file: Some("/nowhere".into()), ..good() }],
            "token_file: /nowhere cannot be read",
        ),
        (vec![rspamd(Config { stages: vec![Stage::Rcpt], ..good() })], "stages: of rspamd"),
        (vec![rspamd(Config { token_file: secret(), ..good() })], "token_file: is for hooks alone"),
        (vec![Config { password_file: secret(), ..good() }], "password_file: is for rspamd alone"),
        (vec![Config { connections_max: 0, ..good() }], "connections_max: must be at least 1"),
    ] {
        let error =
            Filters::new(&configs, &Registry::new(), &Clock::system()).unwrap_err().to_string();
        assert!(error.contains(words), "`{error}` does not say `{words}`");
    }
}

#[tokio::test]
async fn answers_are_counted() {
    let service = Service::start(200, r#"{"action":"defer"}"#).await;
    let registry = Registry::new();
    let config = Config { failures_max: 1, ..config(&service, &[Stage::Connect]) };
    let filters = Filters::new(&[config], &registry, &Clock::system()).unwrap();
    session(&filters).connect().await;
    service.answers(500, "");
    session(&filters).connect().await;
    let text = registry.render();
    for line in [
        r#"chasqui_filter_answers_total{filter="hook",stage="connect",verdict="deferred"} 1"#,
        r#"chasqui_filter_answers_total{filter="hook",stage="connect",verdict="failed"} 1"#,
        r#"chasqui_filter_answer_seconds_count{filter="hook",stage="connect"} 2"#,
        r#"chasqui_filter_resting{filter="hook"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
