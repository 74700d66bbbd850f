//! A connection's stream, clear or TLS.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// The stream of a connection.
#[derive(Debug)]
pub(crate) enum Socket {
    /// As it came.
    Clear(TcpStream),
    /// As it came, on this machine.
    Unix(UnixStream),
    /// Behind a handshake.
    Tls(Box<tls::client::Stream<TcpStream>>),
}

impl Socket {
    /// Which of our addresses it comes from, in words.
    pub(crate) fn local(&self) -> String {
        let address = match self {
            Self::Clear(tcp) => tcp.local_addr(),
            Self::Tls(tls) => tls.get_ref().0.local_addr(),
            Self::Unix(_) => return "connected".to_owned(),
        };
        address
            .map_or_else(|_| "connected".to_owned(), |from| format!("connected from {}", from.ip()))
    }

    /// Whether a peer that should be silent has gone, or has said something unasked (such as 421).
    ///
    /// The runtime knows whether anything came; only then the system is asked what.
    pub(crate) fn is_dead(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let (ready, socket) = match self {
            Self::Clear(tcp) => (tcp.poll_read_ready(&mut context), SockRef::from(&*tcp)),
            Self::Unix(unix) => (unix.poll_read_ready(&mut context), SockRef::from(&*unix)),
            Self::Tls(tls) => {
                let tcp = tls.get_ref().0;
                (tcp.poll_read_ready(&mut context), SockRef::from(tcp))
            }
        };
        if ready.is_pending() {
            return false;
        }
        let mut octet = [MaybeUninit::uninit()];
        let peeked = socket.peek(&mut octet);
        match (peeked, self) {
            (Err(error), _) => error.kind() != io::ErrorKind::WouldBlock,
            (Ok(0), _) | (Ok(_), Self::Clear(_) | Self::Unix(_)) => true,
            // It may be a session ticket; then no content comes of it.
            (Ok(_), Self::Tls(tls)) => {
                let mut octet = [0];
                let mut buffer = ReadBuf::new(&mut octet);
                Pin::new(tls).poll_read(&mut context, &mut buffer).is_ready()
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Unix(unix) => Pin::new(unix).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_write(context, octets),
            Self::Unix(unix) => Pin::new(unix).poll_write(context, octets),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_write_vectored(context, pieces),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(context, pieces),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Unix(unix) => Pin::new(unix).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
