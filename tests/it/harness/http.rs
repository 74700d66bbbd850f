//! One HTTP request over a plain socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::wait::PATIENCE;

/// Status, header lines and body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// One request without a body.
#[track_caller]
pub(crate) fn request(server: SocketAddr, method: &str, path: &str) -> Answer {
    try_request(server, method, path).expect("an HTTP answer")
}

/// As [`request`], for a server that may not be there.
pub(crate) fn try_request(server: SocketAddr, method: &str, path: &str) -> std::io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    try_ask(stream, &format!("{method} {path}"), "", "")
}

/// One request with header lines, each with its line end, and a body.
pub(crate) fn try_ask(
    mut stream: impl Read + Write,
    what: &str,
    lines: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let octets = body.len();
    let head = format!(
        "{what} HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n{lines}Content-Length: {octets}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets)?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    let bad = || std::io::Error::other(format!("not an HTTP answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
    let (first, headers) = head.split_once("\r\n").ok_or_else(bad)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
    let headers = headers.to_ascii_lowercase();
    let body = if headers.contains("transfer-encoding: chunked") {
        unchunk(body)
    } else {
        body.to_owned()
    };
    Ok(Answer { status, headers, body })
}

fn unchunk(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let octets = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if octets == 0 {
            break;
        }
        let Some((chunk, tail)) = behind.split_at_checked(octets) else { break };
        text.push_str(chunk);
        rest = tail.trim_start_matches("\r\n");
    }
    text
}
