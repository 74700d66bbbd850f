//! An SMTP client that does as it is told, right or wrong.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::harness::wait::PATIENCE;

/// A reply of a server: its code and its lines without code and line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) lines: Vec<String>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// One connection to a server.
#[derive(Debug)]
pub(crate) struct Smtp {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Smtp {
    /// Connects and reads nothing yet.
    pub(crate) fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        Self::over(stream)
    }

    /// Connects from a chosen loopback address.
    pub(crate) fn connect_from(client: IpAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(client, 0).into())?;
        socket.connect(&server.into())?;
        Self::over(socket.into())
    }

    pub(crate) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Connects, reads the greeting and says EHLO.
    pub(crate) fn open(server: SocketAddr) -> Self {
        Self::try_open(server).expect("an open session")
    }

    /// As [`Self::open`], for a server that may be dying.
    pub(crate) fn try_open(server: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect(server)?;
        client.try_expect(220, client_read)?;
        client.try_expect(250, |client| client.try_command("EHLO client.test"))?;
        Ok(client)
    }

    fn try_expect(
        &mut self,
        code: u16,
        ask: impl FnOnce(&mut Self) -> io::Result<Reply>,
    ) -> io::Result<Reply> {
        let reply = ask(self)?;
        if reply.code == code {
            return Ok(reply);
        }
        Err(io::Error::other(format!("wanted {code}, got {} {}", reply.code, reply.text())))
    }

    /// Sends octets as they are.
    pub(crate) fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).expect("octets that can be sent");
    }

    /// Reads one reply, `UnexpectedEof` when the server closed.
    pub(crate) fn try_read_reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.read_line()?;
            let (code, rest) = line.split_at_checked(3).ok_or_else(|| bad(&line))?;
            let code: u16 = code.parse().map_err(|_| bad(&line))?;
            let more = rest.starts_with('-');
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if !more {
                return Ok(Reply { code, lines });
            }
        }
    }

    #[track_caller]
    pub(crate) fn read_reply(&mut self) -> Reply {
        self.try_read_reply().expect("a reply")
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut buffer = [0; 4096];
            let count = match self.stream.read(&mut buffer) {
                // With a time-out the kernel does not restart a read that a signal interrupts.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }

    /// One command and its reply.
    pub(crate) fn try_command(&mut self, command: &str) -> io::Result<Reply> {
        self.try_send(format!("{command}\r\n").as_bytes())?;
        self.try_read_reply()
    }

    #[track_caller]
    pub(crate) fn command(&mut self, command: &str) -> Reply {
        self.try_command(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// One command that must get this code.
    #[track_caller]
    pub(crate) fn expect(&mut self, command: &str, code: u16) -> Reply {
        let reply = self.command(command);
        assert_eq!(reply.code, code, "{command}: {reply:?}");
        reply
    }

    /// A whole transaction by DATA; the first reply that refuses, or the last one.
    pub(crate) fn try_deliver(
        &mut self,
        sender: &str,
        recipients: &[&str],
        content: &[u8],
    ) -> io::Result<Reply> {
        let mail = self.try_command(&format!("MAIL FROM:<{sender}> BODY=8BITMIME"))?;
        if mail.code != 250 {
            return Ok(mail);
        }
        for recipient in recipients {
            let rcpt = self.try_command(&format!("RCPT TO:<{recipient}>"))?;
            if rcpt.code != 250 {
                return Ok(rcpt);
            }
        }
        let data = self.try_command("DATA")?;
        if data.code != 354 {
            return Ok(data);
        }
        self.try_send(&stuffed(content))?;
        self.try_read_reply()
    }

    #[track_caller]
    pub(crate) fn deliver(&mut self, sender: &str, recipients: &[&str], content: &[u8]) -> Reply {
        self.try_deliver(sender, recipients, content).expect("a transaction")
    }

    /// Ends the session in good order.
    #[track_caller]
    pub(crate) fn quit(mut self) {
        self.expect("QUIT", 221);
        assert!(self.is_closed(), "the server did not close behind QUIT");
    }

    /// Waits for the server to close, ignoring what it still says.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// No further octets from the client's side.
    pub(crate) fn close_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a socket that can be shut");
    }
}

fn client_read(client: &mut Smtp) -> io::Result<Reply> {
    client.try_read_reply()
}

fn bad(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a reply: {line:?}"))
}

/// The content of DATA on the wire: dots doubled, CRLF.CRLF behind it.
///
/// A content without a final CRLF gets one, since DATA cannot carry anything else.
pub(crate) fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 64);
    let mut at_line_start = true;
    for (place, &octet) in content.iter().enumerate() {
        if at_line_start && octet == b'.' {
            wire.push(b'.');
        }
        wire.push(octet);
        at_line_start = octet == b'\n' && place > 0 && content[place - 1] == b'\r';
    }
    if !at_line_start {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
