//! An application that messages are posted to: it answers as it is told, and remembers what it got.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::wait::wait_for;

type Answer = dyn Fn(&Posted) -> (u16, String) + Send + Sync;

/// One post.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    head: String,
    pub(crate) body: String,
}

impl Posted {
    /// The value of a field; empty if it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim()).unwrap_or_default()
    }
}

/// A running application; its threads end with the test.
pub(crate) struct Application {
    address: String,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Application {
    /// Gives each post a status and, if the text is not empty, JSON or whatever it is.
    pub(crate) fn start(answer: impl Fn(&Posted) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}/mail", listener.local_addr().expect("an address"));
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&posted));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { address, posted }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The posts up to now.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("no panic").clone()
    }

    /// The posts once there are so many.
    pub(crate) fn wait_posted(&self, count: usize) -> Vec<Posted> {
        wait_for("the application to get its mail", || {
            Some(self.posted()).filter(|posted| posted.len() >= count)
        })
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, posted: &Mutex<Vec<Posted>>) {
    while let Some(post) = read(&mut stream) {
        posted.lock().expect("no panic").push(post.clone());
        let (status, body) = answer(&post);
        let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
        let octets = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {octets}\r\n\r\n"
        );
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// One post; none when the connection ends.
fn read(stream: &mut TcpStream) -> Option<Posted> {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let post = Posted { head: head.to_owned(), body: body.to_owned() };
            let octets: usize = post.field("content-length").parse().unwrap_or_default();
            if body.len() >= octets {
                return Some(post);
            }
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            octets => request.extend_from_slice(&piece[..octets]),
        }
    }
}
