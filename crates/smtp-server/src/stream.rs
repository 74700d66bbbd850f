//! A connection's octets, in clear or under TLS.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A read while commands are expected.
const COMMAND_READ_OCTETS: usize = 4 << 10;
/// The first read of a message's content; doubled whenever a read fills its buffer.
const CONTENT_READ_OCTETS_MIN: usize = 16 << 10;
const CONTENT_READ_OCTETS_MAX: usize = 256 << 10;
/// A buffer larger than this is not kept between messages.
const KEPT_OCTETS_MAX: usize = 64 << 10;
/// What is read and thrown away meanwhile.
const LINGER_OCTETS_MAX: usize = 1 << 20;

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Commands,
    Content,
}

/// A client's connection with its read buffer.
pub(crate) struct Stream {
    transport: Transport,
    input: BytesMut,
    content_read_octets: usize,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<tls::server::Stream<TcpStream>>),
    /// A handshake took the socket and failed.
    Gone,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            transport: Transport::Plain(socket),
            input: BytesMut::new(),
            content_read_octets: CONTENT_READ_OCTETS_MIN,
        }
    }

    /// Reads what is there, at least one octet, into a buffer whose size follows the client's speed;
    /// empty at the end of input. May be dropped and called again.
    pub(crate) async fn read(&mut self, expected: Expected) -> io::Result<bytes::Bytes> {
        let wanted = match expected {
            Expected::Commands => {
                self.content_read_octets = CONTENT_READ_OCTETS_MIN;
                if self.input.capacity() > KEPT_OCTETS_MAX {
                    self.input = BytesMut::new();
                }
                COMMAND_READ_OCTETS
            }
            Expected::Content => self.content_read_octets,
        };
        // Whatever is left of the buffer serves if it is not much less than wanted.
        if self.input.capacity() < wanted / 2 {
            self.input.reserve(wanted);
        }
        let room = self.input.capacity();
        let octets = match &mut self.transport {
            Transport::Plain(socket) => socket.read_buf(&mut self.input).await?,
            Transport::Tls(stream) => stream.read_buf(&mut self.input).await?,
            Transport::Gone => 0,
        };
        if octets >= room {
            self.content_read_octets = (wanted * 2).min(CONTENT_READ_OCTETS_MAX);
        }
        Ok(self.input.split().freeze())
    }

    /// Writes all of `octets`.
    pub(crate) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.transport {
            Transport::Plain(socket) => socket.write_all(octets).await,
            Transport::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Transport::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Does the handshake and says what it agreed on. What was read before is void (RFC 3207 §4.2).
    pub(crate) async fn start_tls(
        &mut self,
        acceptor: &tls::server::Acceptor,
    ) -> io::Result<Box<str>> {
        self.input.clear();
        let transport = std::mem::replace(&mut self.transport, Transport::Gone);
        let Transport::Plain(socket) = transport else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let stream = acceptor.accept(socket).await?;
        let facts = tls::facts(stream.get_ref().1);
        self.transport = Transport::Tls(Box::new(stream));
        Ok(facts)
    }

    /// Closes so that the last reply arrives: input left unread would turn the close into a reset, which can
    /// overtake it. Waits at most `linger_wait_max` for the client to close too.
    pub(crate) async fn close(mut self, linger_wait_max: Duration) {
        let farewell = async {
            match &mut self.transport {
                Transport::Plain(socket) => socket.shutdown().await?,
                Transport::Tls(stream) => stream.shutdown().await?,
                Transport::Gone => {}
            }
            let mut octets = 0;
            while octets < LINGER_OCTETS_MAX {
                match self.read(Expected::Content).await?.len() {
                    0 => break,
                    more => octets += more,
                }
            }
            io::Result::Ok(())
        };
        // Neither a client that went nor one that stays is of interest any more.
        timeout(linger_wait_max, farewell).await.ok();
    }
}
