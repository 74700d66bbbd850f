//! A DNS server on loopback that answers from a table, over UDP (RFC 1035 §4).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may stop here"
)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Preference and host; `.` makes it a null MX.
    Mx(u16, &'static str),
    /// Another name for it.
    Cname(&'static str),
    /// A text of any length, cut into strings.
    Txt(String),
    /// The name that an address points back to.
    Ptr(&'static str),
    /// What a certificate must match: usage, selector, matching type, data (RFC 6698 §2.1).
    Tlsa(u8, u8, u8, Vec<u8>),
    /// A record under another name than the one that was asked for, as behind an alias.
    Of(&'static str, Box<Self>),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// Texts.
    Txt,
    /// Names of addresses.
    Ptr,
    /// What certificates must match.
    Tlsa,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These records, under the name that was asked for.
    Records(Vec<Record>),
    /// The same, and the server vouches for them where it is asked to: with the AD bit (RFC 4035 §3.2.3).
    Secure(Vec<Record>),
    /// The name exists, but not with this kind.
    NoData,
    /// RCODE 3.
    NxDomain,
    /// RCODE 2.
    ServFail,
    /// RCODE 5.
    Refused,
    /// Nothing at all.
    Silence,
}

/// The AD bit, in the fourth octet.
const AUTHENTIC: u8 = 0x20;

#[derive(Default)]
struct Table {
    answers: BTreeMap<(String, Kind), Answer>,
    queries: Vec<(String, Kind)>,
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    table: Arc<Mutex<Table>>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Table({} answers)", self.answers.len())
    }
}

impl DnsServer {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let table = Arc::new(Mutex::new(Table::default()));
        let task = tokio::spawn(serve(socket, Arc::clone(&table)));
        Self { address, table, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the answer for `name`; a name without any answer does not exist, a kind without an answer has no data.
    #[must_use]
    pub fn with(self, name: &str, kind: Kind, answer: Answer) -> Self {
        self.set(name, kind, answer);
        self
    }

    /// Sets the texts of `name`.
    #[must_use]
    pub fn with_texts(self, name: &str, texts: &[&str]) -> Self {
        let records = texts.iter().map(|text| Record::Txt((*text).to_owned())).collect();
        self.with(name, Kind::Txt, Answer::Records(records))
    }

    /// Sets the IPv4 address of `name`.
    #[must_use]
    pub fn with_address(self, name: &str, address: Ipv4Addr) -> Self {
        self.with(name, Kind::A, Answer::Records(vec![Record::A(address)]))
    }

    /// As [`Self::with`], on a running server.
    pub fn set(&self, name: &str, kind: Kind, answer: Answer) {
        self.table.lock().answers.insert((name.to_ascii_lowercase(), kind), answer);
    }

    /// All that was asked so far.
    pub fn queries(&self) -> Vec<(String, Kind)> {
        self.table.lock().queries.clone()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, table: Arc<Mutex<Table>>) {
    let mut buffer = [0; 1500];
    loop {
        let Ok((octets, client)) = socket.recv_from(&mut buffer).await else { return };
        let reply = answer(&buffer[..octets], &mut table.lock());
        if let Some(reply) = reply {
            socket.send_to(&reply, client).await.unwrap();
        }
    }
}

fn answer(query: &[u8], table: &mut Table) -> Option<Vec<u8>> {
    let (name, question_end) = read_name(query, 12)?;
    let kind = match u16::from_be_bytes([query[question_end], query[question_end + 1]]) {
        1 => Some(Kind::A),
        28 => Some(Kind::Aaaa),
        15 => Some(Kind::Mx),
        16 => Some(Kind::Txt),
        12 => Some(Kind::Ptr),
        52 => Some(Kind::Tlsa),
        _ => None,
    };
    let known = kind.and_then(|kind| {
        table.queries.push((name.clone(), kind));
        table.answers.get(&(name.clone(), kind)).cloned()
    });
    let answer = known.unwrap_or_else(|| {
        let exists = table.answers.keys().any(|(known, _)| *known == name);
        if exists { Answer::NoData } else { Answer::NxDomain }
    });
    // RFC 6840 §5.8: only who asks for it gets the bit.
    let secure = if matches!(answer, Answer::Secure(_)) { query[3] & AUTHENTIC } else { 0 };
    let (code, records) = match answer {
        Answer::Records(records) | Answer::Secure(records) => (0, records),
        Answer::NoData => (0, Vec::new()),
        Answer::NxDomain => (3, Vec::new()),
        Answer::ServFail => (2, Vec::new()),
        Answer::Refused => (5, Vec::new()),
        Answer::Silence => return None,
    };
    let mut reply = query[..2].to_vec();
    // QR, RD; RA, AD and the code; one question; the answers; nothing else.
    reply.extend([
        0x81,
        0x80 | secure | code,
        0,
        1,
        0,
        u8::try_from(records.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    reply.extend(&query[12..question_end + 4]);
    for record in records {
        write_record(&mut reply, &QUESTION, &record);
    }
    Some(reply)
}

/// Where the question's name is.
const QUESTION: [u8; 2] = [0xc0, 12];

fn write_record(reply: &mut Vec<u8>, name: &[u8], record: &Record) {
    let (kind, data): (u8, Vec<u8>) = match record {
        Record::A(address) => (1, address.octets().to_vec()),
        Record::Aaaa(address) => (28, address.octets().to_vec()),
        Record::Cname(name) => (5, write_name(name)),
        Record::Ptr(name) => (12, write_name(name)),
        Record::Txt(text) => (16, write_strings(text)),
        Record::Tlsa(usage, selector, matching, data) => {
            (52, [&[*usage, *selector, *matching], data.as_slice()].concat())
        }
        Record::Of(name, record) => return write_record(reply, &write_name(name), record),
        Record::Mx(preference, host) => {
            (15, [preference.to_be_bytes().to_vec(), write_name(host)].concat())
        }
    };
    // Class IN, an hour to live.
    reply.extend(name);
    reply.extend([0, kind, 0, 1, 0, 0, 0x0e, 0x10]);
    reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    reply.extend(data);
}

fn write_strings(text: &str) -> Vec<u8> {
    let string = |part: &[u8]| [&[u8::try_from(part.len()).unwrap()], part].concat();
    if text.is_empty() { vec![0] } else { text.as_bytes().chunks(255).flat_map(string).collect() }
}

fn write_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// The name at `at` in lower case, and where it ends.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let octets = usize::from(*message.get(at)?);
        at += 1;
        if octets == 0 {
            return Some((labels.join("."), at));
        }
        let label = message.get(at..at + octets)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += octets;
    }
}
