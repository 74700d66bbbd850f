//! A socket under the TLS layer, which by itself reads 4 KiB at a time.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Reads from the system as much as is wanted at a time, and hands it on in whatever pieces are asked for.
///
/// Holds no memory while there is nothing to hand on.
#[derive(Debug)]
pub(crate) struct Buffered {
    socket: TcpStream,
    wanted: usize,
    kept: BytesMut,
    /// The first octets that came: the head of a `ClientHello`.
    head: Head,
}

/// The first octets of a connection.
#[derive(Debug, Default)]
struct Head {
    octets: [u8; HEAD_OCTETS],
    count: u8,
}

/// A record's header, a handshake message's, and the version behind it (RFC 8446 §5.1, §4, §4.1.2).
const HEAD_OCTETS: usize = 11;

impl Head {
    fn note(&mut self, octets: &[u8]) {
        let count = usize::from(self.count);
        if let Some(room) = self.octets.get_mut(count..).filter(|room| !room.is_empty()) {
            let taken = room.len().min(octets.len());
            room.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
            self.count = self.count.saturating_add(u8::try_from(taken).unwrap_or(u8::MAX));
        }
    }
}

/// The newest version that the client of a refused handshake spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Ssl3,
    Tls10,
    Tls11,
    /// 1.2, where only 1.3 is spoken.
    Tls12,
    Other,
}

impl Buffered {
    /// Reads `wanted` octets at a time.
    pub(crate) fn new(socket: TcpStream, wanted: usize) -> Self {
        Self { socket, wanted, kept: BytesMut::new(), head: Head::default() }
    }

    /// From now on reads `wanted` octets at a time.
    pub(crate) const fn want(&mut self, wanted: usize) {
        self.wanted = wanted;
    }

    /// The version in the `ClientHello` that came. One that speaks 1.3 says so further on, and here 1.2.
    pub(crate) const fn offered(&self) -> Offered {
        match self.head.octets {
            [22, .., 1, _, _, _, 3, 0] => Offered::Ssl3,
            [22, .., 1, _, _, _, 3, 1] => Offered::Tls10,
            [22, .., 1, _, _, _, 3, 2] => Offered::Tls11,
            [22, .., 1, _, _, _, 3, 3] => Offered::Tls12,
            _ => Offered::Other,
        }
    }

    /// Whether a read would find something, an end included.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kept.is_empty() {
            self.socket.poll_read_ready(context)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl AsyncRead for Buffered {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.kept.is_empty() {
            if out.remaining() >= this.wanted {
                let before = out.filled().len();
                let read = Pin::new(&mut this.socket).poll_read(context, out);
                this.head.note(out.filled().get(before..).unwrap_or_default());
                return read;
            }
            ready!(this.socket.poll_read_ready(context))?;
            this.kept.reserve(this.wanted);
            let read = pin!(this.socket.read_buf(&mut this.kept)).poll(context);
            if this.kept.is_empty() {
                this.kept = BytesMut::new();
                return read.map_ok(drop);
            }
            this.head.note(&this.kept);
        }
        let octets = this.kept.len().min(out.remaining());
        out.put_slice(this.kept.get(..octets).unwrap_or_default());
        this.kept.advance(octets);
        if this.kept.is_empty() {
            this.kept = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, octets)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_kept_however_it_comes() {
        let hello = [22, 3, 1, 0, 99, 1, 0, 0, 95, 3, 2, 7, 7, 7];
        for cut in 0..hello.len() {
            let mut head = Head::default();
            for piece in [&hello[..cut], &hello[cut..], &[9; 20]] {
                head.note(piece);
            }
            assert_eq!(head.octets, hello[..HEAD_OCTETS], "cut at {cut}");
        }
    }
}
