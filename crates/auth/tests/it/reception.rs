//! SPF, DKIM, ARC, the client's name, and the field with the results.

use std::net::{IpAddr, Ipv4Addr};

use auth::finding::{Identity, Verdict};
use auth::{Client, Config};
use testkit::dns::{Answer, DnsServer, Kind, Record};
use units::Span;

use crate::common::{authenticator, client, crlf, evaluate, evaluate_with};

const VECTOR: &str = include_str!("../data/rfc8463.eml");

async fn football() -> DnsServer {
    DnsServer::start()
        .await
        .with_texts(
            "brisbane._domainkey.football.example.com",
            &["v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="],
        )
        .with_texts(
            "test._domainkey.football.example.com",
            &["v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"],
        )
}

#[track_caller]
fn spf_is(found: &auth::finding::SpfFinding, result: Verdict, words: &str) {
    assert_eq!(found.result, result, "{found:?}");
    assert!(found.reason.contains(words), "{found:?}");
}

#[tokio::test]
async fn spf_has_its_seven_results() {
    let server = DnsServer::start()
        .await
        .with_texts("pass.example", &["other text", "v=spf1 ip4:192.0.2.0/24 -all"])
        .with_texts("fail.example", &["v=spf1 -all exp=why.fail.example"])
        .with_texts("why.fail.example", &["%{i} may not\r\n"])
        .with_texts("soft.example", &["v=spf1 ~all"])
        .with_texts("neutral.example", &["v=spf1 ?all"])
        .with_texts("none.example", &["no such thing"])
        .with_texts("wrong.example", &["v=spf1 ip4:nonsense -all", "other text"])
        .with_texts("two.example", &["v=spf1 ip4:192.0.2.1 -all", "v=spf1 +all"])
        .with_texts("odd.example", &["v=spf1 nonsense other=x -all"])
        .with_texts("modified.example", &["v=spf1 other=x Redirect=soft.example"])
        .with("broken.example", Kind::Txt, Answer::ServFail)
        .with("silent.example", Kind::Txt, Answer::Silence)
        .with("refused.example", Kind::Txt, Answer::Refused)
        .with_texts("include.example", &["v=spf1 include:broken.example -all"])
        .with_texts("address.example", &["v=spf1 a:broken-a.example -all"])
        .with("broken-a.example", Kind::A, Answer::ServFail)
        .with_texts("loop.example", &["v=spf1 include:loop.example -all"])
        .with_texts("void.example", &["v=spf1 a:no1.example mx:no2.example a ip4:192.0.2.1 -all"]);
    let authenticator = authenticator(&server, Config::default());
    for (domain, result, words) in [
        ("pass.example", Verdict::Pass, "pass.example lets 192.0.2.1 send"),
        ("fail.example", Verdict::Fail, "does not let 192.0.2.1 send"),
        ("soft.example", Verdict::SoftFail, "does not expect"),
        ("neutral.example", Verdict::Neutral, "says nothing"),
        ("none.example", Verdict::None, "publishes no SPF record"),
        ("absent.example", Verdict::None, "does not exist"),
        ("wrong.example", Verdict::PermError, "cannot be understood"),
        ("odd.example", Verdict::PermError, "cannot be understood"),
        ("modified.example", Verdict::SoftFail, "does not expect"),
        ("two.example", Verdict::PermError, "more than one"),
        ("broken.example", Verdict::TempError, "could not be looked up"),
        ("silent.example", Verdict::TempError, "could not be looked up"),
        ("refused.example", Verdict::TempError, "could not be looked up"),
        ("include.example", Verdict::TempError, "look-up that failed"),
        ("address.example", Verdict::TempError, "look-up that failed"),
        ("loop.example", Verdict::PermError, "too many look-ups"),
        ("void.example", Verdict::Pass, "lets"),
    ] {
        let sender = format!("a@{domain}");
        let found = authenticator.spf(&client(&sender)).await;
        spf_is(&found, result, words);
        assert_eq!((found.domain.as_str(), found.identity), (domain, Identity::MailFrom));
    }
    let found = authenticator.spf(&client("a@fail.example")).await;
    assert_eq!(found.explanation.as_deref(), Some("192.0.2.1 may not??"));
    assert!(server.queries().len() < 80, "{}", server.queries().len());
}

#[tokio::test]
async fn the_null_sender_is_asked_by_its_greeting() {
    let server =
        DnsServer::start().await.with_texts("mail.example.com", &["v=spf1 ip4:192.0.2.1 -all"]);
    let authenticator = authenticator(&server, Config::default());
    let found = authenticator.spf(&client("")).await;
    spf_is(&found, Verdict::Pass, "mail.example.com");
    assert_eq!(found.identity, Identity::Helo);
    let mapped = "::ffff:192.0.2.1".parse::<IpAddr>().unwrap();
    let odd = Client { address: mapped, helo: "[192.0.2.1]", sender: "" };
    spf_is(&authenticator.spf(&odd).await, Verdict::None, "no name of the DNS");
    let mapped = Client { helo: "mail.example.com", ..odd };
    spf_is(&authenticator.spf(&mapped).await, Verdict::Pass, "lets 192.0.2.1 send");
}

#[tokio::test]
async fn a_slow_dns_is_given_up_in_time() {
    let server = DnsServer::start().await.with("slow.example", Kind::Txt, Answer::Silence);
    let config = Config { wait_max: Span::millis(20), ..Config::default() };
    let found = authenticator(&server, config).spf(&client("a@slow.example")).await;
    spf_is(&found, Verdict::TempError, "took too long");
}

/// RFC 8463 Appendix A: one message, an Ed25519 and an RSA signature.
#[tokio::test]
async fn the_vectors_of_rfc_8463_verify() {
    let found = evaluate(&football().await, "joe@football.example.com", VECTOR).await;
    let dkim: Vec<_> =
        found.dkim.iter().map(|it| (it.result, it.selector.as_str(), it.algorithm)).collect();
    let want =
        [(Verdict::Pass, "brisbane", "ed25519-sha256"), (Verdict::Pass, "test", "rsa-sha256")];
    assert_eq!(dkim, want, "{found:?}");
    assert_eq!(found.dkim[0].signature_start, "/gCrinpc");
    assert_eq!(found.arc.result, Verdict::None);
    assert_eq!(found.iprev.result, Verdict::PermError);
}

#[tokio::test]
async fn what_was_changed_is_found() {
    let server = football().await;
    for (from, to, words) in [
        ("hungry", "angry", "the body is not the one"),
        ("dinner", "lunch", "the header is not the one"),
        ("s=brisbane", "s=sydney", "publishes no such key"),
        ("v=1; a=ed", "a=ed", "names no version"),
        ("h=from : to :\n subject : date : message-id : from", "h=to", "does not cover From"),
        ("a=ed25519-sha256", "a=rsa-sha1", "SHA-1"),
        ("d=football.example.com; i=@", "l=3; d=football.example.com; i=@", "part of the body"),
        ("d=football.example.com; i=@", "x=1; d=football.example.com; i=@", "too old"),
    ] {
        let message = VECTOR.replacen(from, to, 1);
        let found = evaluate(&server, "joe@football.example.com", &message).await;
        let all: Vec<_> = found.dkim.iter().map(|it| it.reason.as_str()).collect();
        assert!(all.iter().any(|reason| reason.contains(words)), "{words}: {all:?}");
    }
    server.set("brisbane._domainkey.football.example.com", Kind::Txt, Answer::ServFail);
    let found = evaluate(&server, "joe@football.example.com", VECTOR).await;
    assert_eq!(found.dkim[0].result, Verdict::TempError, "{found:?}");
    assert_eq!(found.dkim[1].result, Verdict::Pass, "{found:?}");
}

/// Readers show such a field as any other, so it must count.
#[tokio::test]
async fn white_space_before_a_colon_hides_nothing() {
    let server = football().await;
    let message = VECTOR.replacen("Subject:", "Subject :", 1);
    let found = evaluate(&server, "joe@football.example.com", &message).await;
    assert!(found.dkim.iter().all(|it| it.result == Verdict::Pass), "{found:?}");
    let message = VECTOR.replacen("To: ", "From : x@other.example\nTo: ", 1);
    let found = evaluate(&server, "joe@football.example.com", &message).await;
    assert_eq!(found.dmarc.result, Verdict::PermError, "{found:?}");
}

#[tokio::test]
async fn work_for_a_stranger_has_a_limit() {
    let server = football().await;
    let (signature, rest) = VECTOR.split_at(VECTOR.find("DKIM-Signature: v=1; a=rsa").unwrap());
    let many = format!("{}{rest}", signature.replace("brisbane", "none").repeat(500));
    let found = evaluate(&server, "a@b.example", &many).await;
    assert_eq!((found.dkim.len(), found.dkim_left_out), (10, 491));
    let asked = server.queries().len();
    assert!(asked < 20, "{asked} look-ups");
    let names = "x:".repeat(300);
    let wide = VECTOR.replacen("h=from", &format!("h={names}from"), 1);
    let found = evaluate(&server, "a@b.example", &wide).await;
    assert_eq!(found.dkim[0].result, Verdict::Policy, "{found:?}");
    let fields = format!("{}{VECTOR}", "X: y\n".repeat(1001));
    let large = Config { content_size_max: "100B".parse().unwrap(), ..Config::default() };
    for (message, config, words) in
        [(fields.as_str(), Config::default(), "more fields"), (VECTOR, large, "larger")]
    {
        let found = evaluate_with(&server, config, "a@b.example", &crlf(message)).await;
        assert_eq!(found.dkim.len(), 1);
        assert!(found.dkim[0].reason.contains(words), "{found:?}");
    }
}

#[tokio::test]
async fn nonsense_is_no_signature() {
    let server = DnsServer::start().await;
    for header in [
        "",
        "\r\n",
        ":",
        "DKIM-Signature:\r\n\r\n",
        "DKIM-Signature: ;;;;=;=\r\nFrom: <<<>>>@@\r\n\r\n",
        "ARC-Seal: i=1\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1\r\n\r\n",
        "From: a@\u{fffd}\u{0}\r\n\r\n",
    ] {
        let found = evaluate_with(&server, Config::default(), "", header.as_bytes()).await;
        assert!(found.dkim.iter().all(|it| it.result == Verdict::PermError), "{header}: {found:?}");
        assert_ne!(found.dmarc.result, Verdict::Pass, "{header}: {found:?}");
        assert_ne!(found.arc.result, Verdict::Pass, "{header}: {found:?}");
    }
}

#[tokio::test]
async fn a_name_must_point_back() {
    let ptr = |name| Answer::Records(vec![Record::Ptr(name)]);
    let server = DnsServer::start()
        .await
        .with("1.2.0.192.in-addr.arpa", Kind::Ptr, ptr("mail.example.com"))
        .with_address("mail.example.com", Ipv4Addr::new(192, 0, 2, 1));
    let found = evaluate(&server, "", "From: a@b.example\n\n").await;
    assert_eq!(found.iprev.result, Verdict::Pass);
    assert_eq!(found.iprev.name.as_deref(), Some("mail.example.com"));
    let server = server.with_address("mail.example.com", Ipv4Addr::new(192, 0, 2, 9));
    let found = evaluate(&server, "", "From: a@b.example\n\n").await;
    assert_eq!(found.iprev.result, Verdict::Fail);
    server.set("mail.example.com", Kind::A, Answer::ServFail);
    let found = evaluate(&server, "", "From: a@b.example\n\n").await;
    assert_eq!(found.iprev.result, Verdict::TempError);
}

#[tokio::test]
async fn the_results_are_written_down() {
    let server = football()
        .await
        .with_texts("football.example.com", &["v=spf1 ip4:192.0.2.1 -all"])
        .with_texts("_dmarc.football.example.com", &["v=DMARC1; p=reject"]);
    let found = evaluate(&server, "joe@football.example.com", VECTOR).await;
    let authenticator = authenticator(&server, Config::default());
    let field = String::from_utf8(authenticator.results_field(&found)).unwrap();
    let want = "Authentication-Results: relay.example.net;\r\n\
        \tspf=pass (football.example.com lets 192.0.2.1 send)\r\n\
        \t smtp.mailfrom=football.example.com;\r\n\
        \tdkim=pass (the signature of football.example.com is good)\r\n\
        \t header.d=football.example.com\r\n\
        \t header.s=brisbane\r\n\
        \t header.a=ed25519-sha256\r\n\
        \t header.b=\"/gCrinpc\";\r\n\
        \tdkim=pass (the signature of football.example.com is good)\r\n\
        \t header.d=football.example.com\r\n\
        \t header.s=test\r\n\
        \t header.a=rsa-sha256\r\n\
        \t header.b=F45dVWDf;\r\n\
        \tdmarc=pass (p=reject sp=reject dis=none: SPF and a signature both speak for football.example.com)\r\n\
        \t header.from=football.example.com;\r\n\
        \tiprev=permerror (192.0.2.1 has no name)\r\n\
        \t policy.iprev=192.0.2.1\r\n";
    assert_eq!(field, want);
    let forged = authenticator.forged_fields(field.as_bytes());
    assert_eq!(forged, [1]);
}
