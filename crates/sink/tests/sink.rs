//! The sink over loopback.

#![expect(clippy::unwrap_used, reason = "in a test a panic is a finding")]

use std::time::Duration;

use channel::Receiver;
use mail::BodyType;
use sink::{Keep, Message, Options, Sink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use units::Clock;

const WAIT_MAX: Duration = Duration::from_secs(20);

/// Says `input` all at once to a sink, and gives what it said, what it took, and whether it ended.
async fn taken(options: Options, input: &str) -> (String, Vec<Message>) {
    let sink = Sink::bind(options, Clock::system()).unwrap();
    let address = sink.address().unwrap();
    let (sender, mut messages) = channel::bounded(100);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(sink.run(sender, stopped));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(input.as_bytes()).await.unwrap();
    let mut said = String::new();
    timeout(WAIT_MAX, socket.read_to_string(&mut said)).await.unwrap().unwrap();
    stop.send(true).unwrap();
    timeout(WAIT_MAX, running).await.unwrap().unwrap();
    (said, drained(&mut messages))
}

fn drained(messages: &mut Receiver<Message>) -> Vec<Message> {
    std::iter::from_fn(|| messages.try_recv()).collect()
}

fn talk(content: &str) -> String {
    format!(
        "EHLO c.test\r\nMAIL FROM:<a@c.test> BODY=8BITMIME\r\nRCPT TO:<b@d.test>\r\n\
         RCPT TO:<c@d.test>\r\nBDAT {} LAST\r\n{content}QUIT\r\n",
        content.len()
    )
}

fn codes(said: &str) -> Vec<&str> {
    said.lines()
        .filter(|line| line.get(3..4) == Some(" "))
        .filter_map(|line| line.get(..3))
        .collect()
}

#[tokio::test]
async fn a_message_comes_octet_for_octet_with_its_envelope() {
    let content = "Subject: \u{fc}\r\n\r\n..\r\nno end";
    let options = Options { keep: Keep::Memory, ..Options::default() };
    let (said, messages) = taken(options, &talk(content)).await;
    assert_eq!(codes(&said), ["220", "250", "250", "250", "250", "250", "221"], "{said}");
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(message.content.as_deref(), Some(content.as_bytes()));
    assert_eq!((message.number, message.octets), (1, content.len() as u64));
    assert_eq!((&*message.helo, message.body_type), ("c.test", BodyType::EightBitMime));
    assert_eq!(message.sender.to_string(), "<a@c.test>");
    let recipients: Vec<_> = message.recipients.iter().map(mail::Address::as_str).collect();
    assert_eq!(recipients, ["b@d.test", "c@d.test"]);
}

/// A second run in the same folder overwrites nothing, and half a message leaves no file.
#[tokio::test]
async fn files_are_whole_and_counted_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let options = Options { keep: Keep::Folder(path.clone()), ..Options::default() };
    let (_, first) = taken(options.clone(), &talk("Subject: 1\r\n\r\n")).await;
    let (_, second) = taken(options.clone(), &talk("Subject: 2\r\n\r\n")).await;
    assert_eq!(first[0].path.as_deref(), Some(path.join("1.eml").as_path()));
    assert_eq!(second[0].path.as_deref(), Some(path.join("2.eml").as_path()));
    assert_eq!(std::fs::read(path.join("1.eml")).unwrap(), b"Subject: 1\r\n\r\n");
    assert_eq!(std::fs::read(path.join("2.eml")).unwrap(), b"Subject: 2\r\n\r\n");
    let half = "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<b@d.test>\r\nBDAT 3\r\nabcRSET\r\nQUIT\r\n";
    let (said, none) = taken(options, half).await;
    assert_eq!((codes(&said).last(), none.len()), (Some(&"221"), 0), "{said}");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 2);
}

#[tokio::test]
async fn counted_messages_hold_no_content() {
    let (_, messages) = taken(Options::default(), &talk("Subject: 1\r\n\r\n")).await;
    assert_eq!((messages.len(), &messages[0].content, &messages[0].path), (1, &None, &None));
}

/// With nobody to take the reports, clients wait: nothing piles up.
#[tokio::test]
async fn a_full_channel_makes_the_client_wait() {
    let sink = Sink::bind(Options::default(), Clock::system()).unwrap();
    let mut socket = TcpStream::connect(sink.address().unwrap()).await.unwrap();
    let (sender, mut messages) = channel::bounded(1);
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(sink.run(sender, stopped));
    let message = "MAIL FROM:<>\r\nRCPT TO:<b@d.test>\r\nBDAT 2 LAST\r\n\r\n";
    let input = format!("EHLO c.test\r\n{message}{message}QUIT\r\n");
    socket.write_all(input.as_bytes()).await.unwrap();
    let mut said = String::new();
    let end = timeout(Duration::from_millis(200), socket.read_to_string(&mut said)).await;
    assert!(end.is_err(), "{said}");
    assert!(messages.recv().await.is_ok());
    timeout(WAIT_MAX, socket.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(messages.recv().await.is_ok());
}
