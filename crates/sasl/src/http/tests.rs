//! A server that answers as it is told, and tests with it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What it has been asked, and what it answers from now on.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/it", listener.local_addr().unwrap());
        let server = Self { url, answer: Arc::default(), asked: Arc::default() };
        tokio::spawn(server.clone().serve(listener));
        server
    }

    /// A status line's code and a body.
    pub(crate) fn answers(&self, code: u16, body: &str) {
        *self.answer.lock() = format!(
            "HTTP/1.1 {code} It\r\ncontent-length: {}\r\nlocation: /elsewhere\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    /// The requests up to now, whole.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !is_whole(&request) {
                match stream.read(&mut piece).await {
                    Ok(octets @ 1..) => request.extend_from_slice(&piece[..octets]),
                    _ => break,
                }
                piece = [0; 4096];
            }
            self.asked.lock().push(String::from_utf8_lossy(&request).into_owned());
            let answer = self.answer.lock().clone();
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

#[test]
fn only_encrypted_or_local_addresses_are_asked() {
    for good in
        ["https://a.example/keys", "http://127.0.0.1:80/", "http://[::1]/", "http://localhost/"]
    {
        assert!(address(good).is_ok(), "{good}");
    }
    for (bad, want) in [
        ("", AddressError::Form),
        ("keys", AddressError::Form),
        ("http://a.example/keys", AddressError::Clear),
        ("http://127.0.0.1.example/", AddressError::Clear),
        ("http://localhost.example/", AddressError::Clear),
        ("ftp://a.example/", AddressError::Clear),
    ] {
        assert_eq!(address(bad), Err(want), "{bad}");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_are_not_followed() {
    let server = Server::start().await;
    let (http, url) = (Http::new(Duration::from_mins(1)).unwrap(), address(&server.url).unwrap());
    server.answers(200, "yes");
    let answer = http.get(&url).await.unwrap();
    assert_eq!((answer.code, answer.content.as_slice()), (200, &b"yes"[..]));
    server.answers(302, "");
    let answer = http.get(&url).await.unwrap();
    assert_eq!((answer.code, answer.is_success(), server.asked().len()), (302, false, 2));
    server.answers(200, &"x".repeat(ANSWER_OCTETS_MAX + 1));
    assert_eq!(http.get(&url).await.unwrap_err(), HttpError::TooLarge);
    server.answers(200, "{}");
    http.post(&url, &[("a", "b c&d")]).await.unwrap();
    assert!(server.asked().last().unwrap().ends_with("a=b+c%26d"));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_without_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = address(&format!("http://{}/secret", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = Http::new(Duration::from_mins(1)).unwrap().get(&url).await.unwrap_err().to_string();
    assert!(error.starts_with("no answer: ") && !error.contains("secret"), "{error}");
}
