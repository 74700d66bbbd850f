//! The sender against a scripted server.

#![expect(clippy::unwrap_used, reason = "in a test a panic is a finding")]

use std::time::Duration;

use bytes::Bytes;
use mail::{Address, ReversePath};
use sender::{Credentials, SendError, Sent, Step, Submission, Tls, send};
use tls::client::{Config, Connectors, Verification};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

const OFFER: &str = "250-relay.test greets you\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-STARTTLS\r\n\
                     250-AUTH PLAIN\r\n250 SMTPUTF8\r\n";

/// Answers each line by the first rule whose start fits; a message is answered as `.`; gives what came.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    rules: &[(&str, &str)],
) -> String {
    let (mut heard, mut in_content) = (String::new(), false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return heard;
        }
        heard.push_str(&line);
        let rule = rules.iter().find(|(start, _)| line.starts_with(start));
        let said = match rule {
            _ if in_content && line != ".\r\n" => continue,
            Some((_, said)) => said,
            None if line.starts_with("EHLO") => OFFER,
            None if line.starts_with("DATA") => "354 go on\r\n",
            None => "250 2.0.0 ok\r\n",
        };
        in_content = said.starts_with("354");
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if line.starts_with("QUIT") || line.starts_with("STARTTLS") {
            return heard;
        }
    }
}

fn submission(port: u16) -> Submission {
    let address = |text| Address::parse(text).unwrap();
    Submission {
        host: "127.0.0.1".to_owned(),
        port,
        tls: Tls::None,
        credentials: None,
        helo: "client.test".to_owned(),
        sender: ReversePath::Address(address("a@client.test")),
        recipients: vec![address("b@d.test"), address("c@d.test")],
        content: Bytes::from_static(b"Subject: \xc3\xbc\n\n.dot\nend\n"),
        wait_max: Duration::from_secs(10),
    }
}

fn connectors() -> Connectors {
    Connectors::open(&Config { roots: None, trusts_system: false }).unwrap()
}

/// Sends by a server with `rules`; gives the end, the steps in words, and what the server heard.
async fn sent(
    rules: &[(&str, &str)],
    turn: impl FnOnce(&mut Submission),
) -> (Result<Sent, SendError>, Vec<String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut submission = submission(listener.local_addr().unwrap().port());
    turn(&mut submission);
    let server = async {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        stream.write_all(b"220 relay.test ESMTP\r\n").await.unwrap();
        serve(&mut stream, rules).await
    };
    let mut steps = Vec::new();
    let mut tell = |step: Step| steps.push(step.to_string());
    let connectors = connectors();
    let both = async { tokio::join!(send(&submission, &connectors, &mut tell), server) };
    let (end, heard) = timeout(Duration::from_secs(20), both).await.unwrap();
    (end, steps, heard)
}

#[tokio::test]
async fn each_step_is_told() {
    let (end, steps, heard) = sent(&[("RCPT TO:<c", "550 5.1.1 no c here\r\n")], |_| {}).await;
    let end = end.unwrap();
    assert_eq!(end.recipients.len(), 1);
    assert_eq!(end.refused[0].1.to_string(), "550 5.1.1 no c here");
    assert_eq!(
        steps[1..],
        [
            "greeting: 220 relay.test ESMTP",
            "EHLO client.test: 250 relay.test",
            "MAIL FROM:<a@client.test> SIZE=26 BODY=8BITMIME: 250 2.0.0 ok",
            "RCPT TO:<b@d.test>: 250 2.0.0 ok",
            "RCPT TO:<c@d.test>: 550 5.1.1 no c here",
            "DATA (26 octets): 250 2.0.0 ok",
            "QUIT: 250 2.0.0 ok",
        ]
    );
    assert!(
        heard.contains("DATA\r\nSubject: \u{fc}\r\n\r\n..dot\r\nend\r\n.\r\nQUIT\r\n"),
        "{heard}"
    );
}

#[tokio::test]
async fn each_refusal_has_its_words() {
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("MAIL", "452 4.3.1 no room\r\n")], "refused at MAIL: 452 4.3.1 no room"),
        (
            &[("RCPT", "550 5.7.1 no relaying\r\n")],
            "refused every recipient, the last with: 550 5.7.1 no relaying",
        ),
        (&[(".\r\n", "554 5.6.0 bad\r\n")], "refused at DATA: 554 5.6.0 bad"),
        (
            &[("EHLO", "250 plain\r\n"), ("MAIL", "nonsense\r\n")],
            "the conversation broke off at MAIL: the server closed the connection or sent what is no reply",
        ),
    ];
    for (rules, want) in cases {
        let (end, ..) = sent(rules, |_| {}).await;
        assert_eq!(end.unwrap_err().to_string(), want);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = send(&submission(nobody), &connectors(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, SendError::Connect { .. }), "{error}");
}

/// A server of old that knows no EHLO.
#[tokio::test]
async fn helo_serves_where_ehlo_is_unknown() {
    let (end, _, heard) = sent(&[("EHLO", "502 5.5.1 what\r\n")], |_| {}).await;
    assert!(end.is_ok(), "{end:?}");
    assert!(heard.contains("HELO client.test\r\nMAIL FROM:<a@client.test>\r\n"), "{heard}");
}

/// The password goes to the server and nowhere else.
#[tokio::test]
async fn auth_is_told_without_the_password() {
    let credentials = || Credentials { name: "me".to_owned(), password: "s3cret".to_owned() };
    let (end, steps, heard) = sent(&[("AUTH PLAIN", "235 2.7.0 welcome\r\n")], |submission| {
        submission.credentials = Some(credentials());
    })
    .await;
    assert!(end.is_ok(), "{end:?}");
    assert!(heard.contains("AUTH PLAIN AG1lAHMzY3JldA==\r\n"), "{heard}");
    assert!(steps.contains(&"AUTH as me".to_owned()), "{steps:?}");
    assert!(!format!("{steps:?}{:?}", credentials()).contains("s3cret"));
    let (end, ..) = sent(&[("AUTH PLAIN", "535 5.7.8 no\r\n")], |submission| {
        submission.credentials = Some(credentials());
    })
    .await;
    assert_eq!(end.unwrap_err().to_string(), "not let in as me: 535 5.7.8 no");
}

#[tokio::test]
async fn starttls_is_done_or_the_message_stays() {
    let tls = Tls::StartTls(Verification::None);
    let (end, ..) = sent(&[("EHLO", "250 plain\r\n")], |submission| submission.tls = tls).await;
    assert!(matches!(end, Err(SendError::NoStartTls)), "{end:?}");

    let acceptor = testkit::authority::Authority::new("tests").acceptor("relay.test");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let submission = Submission { tls, ..submission(listener.local_addr().unwrap().port()) };
    let server = async {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        stream.write_all(b"220 relay.test ESMTP\r\n").await.unwrap();
        serve(&mut stream, &[("STARTTLS", "220 2.0.0 go\r\n")]).await;
        let mut stream = BufReader::new(acceptor.accept(stream.into_inner()).await.unwrap());
        serve(&mut stream, &[]).await
    };
    let mut steps = Vec::new();
    let mut tell = |step: Step| steps.push(step.to_string());
    let connectors = connectors();
    let both = async { tokio::join!(send(&submission, &connectors, &mut tell), server) };
    let (end, heard) = timeout(Duration::from_secs(20), both).await.unwrap();
    assert!(end.is_ok(), "{end:?}");
    assert!(heard.starts_with("EHLO client.test\r\nMAIL"), "{heard}");
    assert!(steps.iter().any(|step| step.starts_with("TLS begun (TLSv1.3 TLS_")), "{steps:?}");
}
