//! An open connection that is ready for a transaction.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use mail::Peer;
use policy::config::Limits;
use smtp_session::client::Extensions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::address::Address;
use crate::metrics::Open;
use crate::socket::Socket;

const READ_OCTETS: usize = 4096;
/// Pieces written in one call.
const PIECES_MAX: usize = 16;
/// How long a 221 is waited for.
const GOODBYE_WAIT: Duration = Duration::from_secs(2);

/// A connection whose greeting, EHLO and TLS are done.
pub(crate) struct Connection {
    socket: Socket,
    buffer: Box<[u8]>,
    /// Who is there.
    pub(crate) peer: Arc<Peer>,
    /// Where.
    pub(crate) address: Address,
    /// What it offers.
    pub(crate) extensions: Extensions,
    opened_at: Instant,
    idle_since: Instant,
    /// Messages it was used for.
    messages: u32,
    /// The policy under which it was opened: under another one it might have gone elsewhere or otherwise.
    generation: u64,
    open: Open,
}

/// What happened on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// All pieces are written.
    Sent,
    /// So many octets came; [`Connection::received`] has them.
    Received(usize),
    /// The peer has closed, or the connection broke.
    Closed,
    /// The deadline passed.
    Late,
}

/// What is to be written, without copying it together.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    octets: usize,
}

impl Pieces {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.octets += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(crate) const fn octets(&self) -> usize {
        self.octets
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.octets = 0;
    }

    fn written(&mut self, mut octets: usize) {
        self.octets = self.octets.saturating_sub(octets);
        while let Some(first) = self.pieces.front_mut() {
            if first.len() > octets {
                first.advance(octets);
                return;
            }
            octets -= first.len();
            self.pieces.pop_front();
        }
    }
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        extensions: Extensions,
        (peer, address): (Arc<Peer>, Address),
        open: Open,
        now: Instant,
    ) -> Self {
        let buffer = vec![0; READ_OCTETS].into_boxed_slice();
        Self {
            socket,
            buffer,
            peer,
            address,
            extensions,
            opened_at: now,
            idle_since: now,
            messages: 0,
            generation: 0,
            open,
        }
    }

    /// Whether it was used before.
    pub(crate) const fn is_reused(&self) -> bool {
        self.messages > 0
    }

    /// Counts a message that it is used for.
    pub(crate) const fn used(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// Whether it may carry a further message.
    pub(crate) fn may_go_on(&self, limits: &Limits, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.opened_at);
        let mails_max = self.extensions.limits.mails_max.unwrap_or(u32::MAX);
        self.messages < limits.messages_per_connection_max.min(mails_max)
            && age < limits.connection_age_max.as_duration()
    }

    /// Begins to wait for mail.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.idle_since = now;
        self.open.rest();
    }

    /// Stops waiting for mail.
    pub(crate) fn wake(&mut self) {
        self.open.wake();
    }

    /// Notes under which policy it was opened.
    pub(crate) fn under(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// Whether it was opened under that policy.
    pub(crate) const fn is_of(&self, generation: u64) -> bool {
        self.generation == generation
    }

    /// Whether it has waited long enough, or the peer has gone meanwhile.
    pub(crate) fn is_stale(&mut self, limits: &Limits, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.idle_since);
        idle >= limits.connection_idle_max.as_duration()
            || !self.may_go_on(limits, now)
            || self.socket.is_dead()
    }

    /// What came, after [`Event::Received`].
    pub(crate) fn received(&self, octets: usize) -> &[u8] {
        self.buffer.get(..octets).unwrap_or_default()
    }

    /// Writes `pieces` and, while the peer does not take them, listens to what it has to say instead.
    pub(crate) async fn send(&mut self, pieces: &mut Pieces, deadline: Instant) -> Event {
        let sending = poll_fn(|context| self.poll_send(context, pieces));
        tokio::time::timeout_at(deadline.into(), sending).await.unwrap_or(Event::Late)
    }

    /// Waits for octets.
    pub(crate) async fn receive(&mut self, deadline: Instant) -> Event {
        let receiving = poll_fn(|context| self.poll_receive(context));
        tokio::time::timeout_at(deadline.into(), receiving).await.unwrap_or(Event::Late)
    }

    fn poll_send(&mut self, context: &mut Context<'_>, pieces: &mut Pieces) -> Poll<Event> {
        loop {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            for (slice, piece) in slices.iter_mut().zip(&pieces.pieces) {
                *slice = IoSlice::new(piece);
            }
            let count = pieces.pieces.len().min(PIECES_MAX);
            let Some(slices) = slices.get(..count).filter(|slices| !slices.is_empty()) else {
                match Pin::new(&mut self.socket).poll_flush(context) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Event::Sent),
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            };
            match Pin::new(&mut self.socket).poll_write_vectored(context, slices) {
                Poll::Ready(Ok(octets)) if octets > 0 => pieces.written(octets),
                // What the peer said before it went is still to be read: it may be a 421 or a 552.
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        self.poll_receive(context)
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        Pin::new(&mut self.socket).poll_read(context, &mut buffer).map(|read| match read {
            Ok(()) if !buffer.filled().is_empty() => Event::Received(buffer.filled().len()),
            Ok(()) | Err(_) => Event::Closed,
        })
    }

    /// Says QUIT and waits a little for the reply (RFC 5321 §4.1.1.10).
    pub(crate) async fn quit(mut self) {
        let goodbye = async {
            self.socket.write_all(b"QUIT\r\n").await?;
            self.socket.flush().await?;
            // One piece is enough: whatever it says, the session is over.
            let _octets = self.socket.read(&mut self.buffer).await?;
            self.socket.shutdown().await
        };
        // Whatever comes of it, nothing depends on it.
        drop(tokio::time::timeout(GOODBYE_WAIT, goodbye).await);
    }
}
