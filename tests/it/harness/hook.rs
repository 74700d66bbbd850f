//! An HTTP hook that answers as it is told, and remembers what it has been asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

type Answer = dyn Fn(&Value) -> String + Send + Sync;

/// A running hook; its threads end with the test.
pub(crate) struct Hook {
    address: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    pub(crate) fn start(answer: impl Fn(&Value) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { address, asked }
    }

    /// The address of one that is not there: connections to it are refused.
    pub(crate) fn dead() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The questions up to now.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, asked: &Mutex<Vec<Value>>) {
    loop {
        let Some(question) = question(&mut stream) else { return };
        asked.lock().expect("no panic").push(question.clone());
        let body = answer(&question);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// One request's body; none when the connection ends.
fn question(stream: &mut TcpStream) -> Option<Value> {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return serde_json::from_str(body).ok();
            }
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            octets => request.extend_from_slice(&piece[..octets]),
        }
    }
}
