//! A name server with a handful of records.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const TLSA: u16 = 52;
/// The AD bit, in the fourth octet (RFC 4035 §3.2).
const AUTHENTIC: u8 = 0x20;

/// What is known of one name.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Mx(u16, &'static str),
    A(Ipv4Addr),
    Txt(String),
    Ptr(&'static str),
    /// Another name for it, whatever is asked.
    Cname(&'static str),
    /// What a certificate must match (RFC 6698 §2.1).
    Tlsa(u8, u8, u8, Vec<u8>),
    /// The server vouches for what else it says of the name, to who asks for that (RFC 6840 §5.8).
    Secure,
    /// Every question about the name fails with SERVFAIL.
    Failure,
}

type Zone = BTreeMap<String, Vec<Record>>;

/// The server; dropping it ends it. Names that it does not know do not exist.
#[derive(Debug)]
pub(crate) struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    stopping: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
}

impl Dns {
    pub(crate) fn start(records: &[(&str, Record)]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let mut zone = Zone::new();
        for (name, record) in records {
            zone.entry((*name).to_owned()).or_default().push(record.clone());
        }
        let zone = Arc::new(Mutex::new(zone));
        let known = Arc::clone(&zone);
        let stopping = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stopping);
        let answering = thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((count, client)) = socket.recv_from(&mut buffer) {
                if theirs.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(answer) = answer(&known.lock().expect("a zone"), &buffer[..count]) {
                    socket.send_to(&answer, client).ok();
                }
            }
        });
        Self { address, zone, stopping, answering: Some(answering) }
    }

    /// Lets a name have these records and no others.
    pub(crate) fn set(&self, name: &str, records: &[Record]) {
        self.zone.lock().expect("a zone").insert(name.to_owned(), records.to_vec());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            socket.send_to(b"end", self.address).ok();
        }
        if let Some(answering) = self.answering.take() {
            answering.join().ok();
        }
    }
}

/// The answer to one query (RFC 1035 §4.1); none to what is no query.
fn answer(zone: &Zone, query: &[u8]) -> Option<Vec<u8>> {
    let id = query.get(..2)?;
    let mut place = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(place)?);
        place += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(place..place + length)?).to_lowercase());
        place += length;
    }
    let question = query.get(12..place + 4)?;
    let kind = u16::from_be_bytes([*query.get(place)?, *query.get(place + 1)?]);
    let known = zone.get(&labels.join("."));
    let mut count = 0_u16;
    let mut answers = Vec::new();
    let mut code = if known.is_some() { 0 } else { 3 };
    let mut flags = 0x80;
    for record in known.into_iter().flatten() {
        let mut is = kind;
        let data = match record {
            Record::Failure => {
                code = 2;
                continue;
            }
            Record::Mx(preference, host) if kind == MX => {
                [preference.to_be_bytes().to_vec(), encoded(host)].concat()
            }
            Record::A(address) if kind == A => address.octets().to_vec(),
            Record::Txt(text) if kind == TXT => strings(text),
            Record::Ptr(name) if kind == PTR => encoded(name),
            Record::Cname(name) => {
                is = CNAME;
                encoded(name)
            }
            Record::Tlsa(usage, selector, matching, data) if kind == TLSA => {
                [&[*usage, *selector, *matching], data.as_slice()].concat()
            }
            Record::Secure => {
                flags |= query.get(3)? & AUTHENTIC;
                continue;
            }
            Record::Mx(..) | Record::A(_) | Record::Txt(_) | Record::Ptr(_) | Record::Tlsa(..) => {
                continue;
            }
        };
        count += 1;
        // The name is the one of the question; class IN, one minute.
        answers.extend_from_slice(&[0xc0, 12]);
        answers.extend_from_slice(&is.to_be_bytes());
        answers.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        answers.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        answers.extend_from_slice(&data);
    }
    let mut reply = id.to_vec();
    reply.extend_from_slice(&[0x81, flags | code, 0, 1]);
    reply.extend_from_slice(&count.to_be_bytes());
    reply.extend_from_slice(&[0, 0, 0, 0]);
    reply.extend_from_slice(question);
    reply.extend_from_slice(&answers);
    Some(reply)
}

/// A text in strings of at most 255 octets (RFC 1035 §3.3.14).
fn strings(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for string in text.as_bytes().chunks(255) {
        octets.push(u8::try_from(string.len()).expect("a string"));
        octets.extend_from_slice(string);
    }
    octets
}

fn encoded(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).expect("a label"));
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets
}
