//! A stream that is read one line at a time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::Socket;

/// One reply may have so many octets; a longer one is an error, whatever the time-out.
const REPLY_OCTETS_MAX: usize = 64 << 10;
const BUFFER_OCTETS: usize = 4096;

/// Gives at most one line per read, and keeps the rest.
///
/// mail-send forgets what it has read behind a reply. Read through this, nothing stands behind a reply, so what a peer
/// says too much stays here and is seen: behind the 220 of STARTTLS it may be an injection (RFC 3207 §5).
#[derive(Debug)]
pub(crate) struct Lines {
    socket: Socket,
    buffer: Box<[u8]>,
    /// Where in `buffer` the octets lie that were read and not yet given.
    kept: std::ops::Range<usize>,
    octets_left: usize,
    is_ended: bool,
}

impl Lines {
    pub(crate) fn new(socket: Socket) -> Self {
        let buffer = vec![0; BUFFER_OCTETS].into_boxed_slice();
        Self { socket, buffer, kept: 0..0, octets_left: REPLY_OCTETS_MAX, is_ended: false }
    }

    /// Begins to count the octets of the next reply.
    pub(crate) const fn expect_reply(&mut self) {
        self.octets_left = REPLY_OCTETS_MAX;
    }

    /// Whether the peer said more than the replies taken so far.
    pub(crate) fn has_more(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether the peer has closed.
    pub(crate) const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The stream itself; what was kept is gone, so look at [`Self::has_more`] first.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }
}

impl AsyncRead for Lines {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.kept.is_empty() {
            let mut buffer = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.socket).poll_read(context, &mut buffer))?;
            this.kept = 0..buffer.filled().len();
            this.is_ended = this.kept.is_empty();
        }
        let kept = this.buffer.get(this.kept.clone()).unwrap_or_default();
        let line = kept.iter().position(|octet| *octet == b'\n').map_or(kept.len(), |end| end + 1);
        let taken = line.min(out.remaining());
        if taken > this.octets_left {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the reply is too long",
            )));
        }
        out.put_slice(kept.get(..taken).unwrap_or_default());
        this.octets_left -= taken;
        this.kept.start += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
