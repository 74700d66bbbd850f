//! A connection's octets, in clear or under TLS.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sasl::ChannelBindings;
use tls::server::PeerCertificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::buffered::{Buffered, Offered};

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

/// Why there is no TLS with a client.
pub(crate) struct NoTls {
    pub(crate) error: io::Error,
    /// What the client spoke, if that is why.
    pub(crate) too_old: Option<Offered>,
}

/// A client's connection with its read buffer.
pub(crate) struct Stream {
    transport: Transport,
    input: BytesMut,
    content_read_octets: usize,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<tls::server::Stream<Buffered>>),
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
    ///
    /// While a command is waited for there is no buffer: most connections do that most of the time.
    pub(crate) async fn read(&mut self, expected: Expected) -> io::Result<Bytes> {
        let wanted = match expected {
            Expected::Commands => {
                self.content_read_octets = CONTENT_READ_OCTETS_MIN;
                poll_fn(|context| self.poll_command(context)).await?;
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
            Transport::Tls(stream) => {
                stream.get_mut().0.want(wanted);
                stream.read_buf(&mut self.input).await?
            }
            Transport::Gone => 0,
        };
        if octets >= room {
            self.content_read_octets = (wanted * 2).min(CONTENT_READ_OCTETS_MAX);
        }
        Ok(self.input.split().freeze())
    }

    /// Waits until there is something to read; gives the buffer back when that is not at once.
    fn poll_command(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_there = match &mut self.transport {
            Transport::Plain(socket) => socket.poll_read_ready(context),
            Transport::Tls(stream) => match stream.get_ref() {
                (socket, session) if session.wants_read() => socket.poll_readable(context),
                _ => Poll::Ready(Ok(())),
            },
            Transport::Gone => Poll::Ready(Ok(())),
        };
        if is_there.is_pending() || self.input.capacity() > KEPT_OCTETS_MAX {
            self.input = BytesMut::new();
        }
        is_there
    }

    /// Fills all of `octets` from a connection in clear.
    pub(crate) async fn read_exact(&mut self, octets: &mut [u8]) -> io::Result<()> {
        match &mut self.transport {
            Transport::Plain(socket) => socket.read_exact(octets).await.map(drop),
            Transport::Tls(_) | Transport::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits until the client has said something in clear; false if it closed instead.
    pub(crate) async fn speaks(&mut self) -> bool {
        match &mut self.transport {
            Transport::Plain(socket) => socket.peek(&mut [0]).await.is_ok_and(|octets| octets > 0),
            Transport::Tls(_) | Transport::Gone => false,
        }
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

    /// Does the handshake and says what it agreed on, and what the client showed. What was read before is void
    /// (RFC 3207 §4.2).
    pub(crate) async fn start_tls(
        &mut self,
        acceptor: &tls::server::Acceptor,
    ) -> Result<(Box<str>, Option<PeerCertificate>), NoTls> {
        self.input.clear();
        let transport = std::mem::replace(&mut self.transport, Transport::Gone);
        let Transport::Plain(socket) = transport else {
            return Err(NoTls { error: io::ErrorKind::NotConnected.into(), too_old: None });
        };
        let socket = Buffered::new(socket, COMMAND_READ_OCTETS);
        let stream = acceptor.try_accept(socket).await.map_err(|(error, socket)| {
            let too_old = error.is_about_version().then(|| socket.offered());
            NoTls { error: error.into(), too_old }
        })?;
        let session = stream.get_ref().1;
        let facts = (tls::facts(session), acceptor.peer_certificate(session));
        self.transport = Transport::Tls(Box::new(stream));
        Ok(facts)
    }

    /// What the TLS session can be recognised by; nothing before TLS 1.3, where clients would choose `tls-unique`.
    pub(crate) fn bindings(&self, acceptor: Option<&tls::server::Acceptor>) -> ChannelBindings {
        let (Transport::Tls(stream), Some(acceptor)) = (&self.transport, acceptor) else {
            return ChannelBindings::default();
        };
        let session = stream.get_ref().1;
        let exporter = tls::exporter(session);
        let end_point = exporter.as_ref().and_then(|_| acceptor.end_point(session));
        ChannelBindings { exporter, end_point }
    }

    /// Closes so that the last reply arrives: input left unread would turn the close into a reset, which can
    /// overtake it. Waits at most `linger_wait_max` for the client to close too.
    pub(crate) async fn close(&mut self, linger_wait_max: Duration) {
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection.
    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::new(listener.accept().await.unwrap().0), client)
    }

    fn is_waiting(stream: &mut Stream, expected: Expected) -> bool {
        pin!(stream.read(expected)).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn a_stream_that_waits_for_a_command_holds_no_buffer() {
        let (mut stream, mut client) = pair().await;
        for expected in [Expected::Commands, Expected::Content] {
            client.write_all(b"octets").await.unwrap();
            assert_eq!(stream.read(expected).await.unwrap(), "octets");
            assert!(is_waiting(&mut stream, Expected::Commands));
            assert_eq!(stream.input.capacity(), 0);
        }
    }

    /// Content comes in pieces: the buffer of a message serves until its end.
    #[tokio::test]
    async fn a_buffer_grows_while_content_fills_it() {
        let (mut stream, mut client) = pair().await;
        let (mut octets, mut largest) = (0, 0);
        let send = async move {
            client.write_all(&vec![b'x'; 2 << 20]).await.unwrap();
            client
        };
        let receive = async {
            while octets < 2 << 20 {
                let piece = stream.read(Expected::Content).await.unwrap().len();
                octets += piece;
                largest = largest.max(piece);
            }
        };
        let _client = tokio::join!(send, receive).0;
        assert!(largest > CONTENT_READ_OCTETS_MIN, "{largest}");
        assert!(is_waiting(&mut stream, Expected::Commands));
        assert_eq!(stream.input.capacity(), 0);
    }
}
