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
}

impl Buffered {
    /// Reads `wanted` octets at a time.
    pub(crate) fn new(socket: TcpStream, wanted: usize) -> Self {
        Self { socket, wanted, kept: BytesMut::new() }
    }

    /// From now on reads `wanted` octets at a time.
    pub(crate) const fn want(&mut self, wanted: usize) {
        self.wanted = wanted;
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
                return Pin::new(&mut this.socket).poll_read(context, out);
            }
            ready!(this.socket.poll_read_ready(context))?;
            this.kept.reserve(this.wanted);
            let read = pin!(this.socket.read_buf(&mut this.kept)).poll(context);
            if this.kept.is_empty() {
                this.kept = BytesMut::new();
                return read.map_ok(drop);
            }
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
