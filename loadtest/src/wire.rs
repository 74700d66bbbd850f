//! Lines over a socket: the little of SMTP that a source and a sink share.

use std::io::IoSlice;
use std::ops::Range;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A socket and what was read from it and not used yet.
pub(crate) struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
    /// What of `buffer` is used up.
    used: usize,
    /// Where the last line of the last reply stands in `buffer`, until the next read.
    reply: Range<usize>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// No line, reply or command is longer than this.
const LINE_OCTETS_MAX: usize = 64 * 1024;

/// A read takes at least so much, if it is there.
const READ_OCTETS: usize = 16 * 1024;

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Without it each small write would wait for an acknowledgement; failing is harmless.
        stream.set_nodelay(true).ok();
        Self::over(Stream::Plain(stream))
    }

    fn over(stream: Stream) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ_OCTETS), used: 0, reply: 0..0 }
    }

    /// Encrypts as the client.
    pub(crate) async fn connect_tls(self, connector: &TlsConnector) -> anyhow::Result<Self> {
        let stream = self.into_plain()?;
        let name = ServerName::try_from("relay.example").context("a name for TLS")?;
        let stream = connector.connect(name, stream).await.context("TLS with the relay")?;
        Ok(Self::over(Stream::Tls(Box::new(stream.into()))))
    }

    /// Encrypts as the server.
    pub(crate) async fn accept_tls(self, acceptor: &TlsAcceptor) -> anyhow::Result<Self> {
        let stream = self.into_plain()?;
        let stream = acceptor.accept(stream).await.context("TLS with the relay")?;
        Ok(Self::over(Stream::Tls(Box::new(stream.into()))))
    }

    /// What was read in clear text must not count as encrypted (RFC 3207 §4.2).
    fn into_plain(self) -> anyhow::Result<TcpStream> {
        ensure!(self.unread().is_empty(), "the peer sent something between STARTTLS and TLS");
        match self.stream {
            Stream::Plain(stream) => Ok(stream),
            Stream::Tls(_) => bail!("the connection is encrypted already"),
        }
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(octets).await.context("sending"),
            Stream::Tls(stream) => {
                stream.write_all(octets).await.context("sending")?;
                stream.flush().await.context("sending")
            }
        }
    }

    /// Sends one part behind the other, in as few writes as the system allows.
    pub(crate) async fn send_parts(&mut self, mut parts: &mut [IoSlice<'_>]) -> anyhow::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let sent = match &mut self.stream {
                Stream::Plain(stream) => stream.write_vectored(parts).await,
                Stream::Tls(stream) => stream.write_vectored(parts).await,
            };
            let sent = sent.context("sending")?;
            ensure!(sent > 0, "the peer takes no more");
            IoSlice::advance_slices(&mut parts, sent);
        }
        match &mut self.stream {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => stream.flush().await.context("sending"),
        }
    }

    /// Reads more, up to `octets_max` at a time; says whether the peer is still there.
    pub(crate) async fn fill(&mut self, octets_max: usize) -> anyhow::Result<bool> {
        self.reply = 0..0;
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.reserve(octets_max);
        let before = self.buffer.len();
        let limit = octets_max as u64;
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.take(limit).read_buf(&mut self.buffer).await,
            Stream::Tls(stream) => stream.take(limit).read_buf(&mut self.buffer).await,
        };
        read.context("receiving")?;
        Ok(self.buffer.len() > before)
    }

    /// What was read and not used.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Uses up `octets` of what was read.
    pub(crate) fn take(&mut self, octets: usize) {
        self.used = (self.used + octets).min(self.buffer.len());
    }

    /// The next line without its end, if all of it was read.
    ///
    /// # Errors
    /// If the line is too long to be one.
    pub(crate) fn line(&mut self) -> anyhow::Result<Option<&[u8]>> {
        let line = self.find_line()?;
        Ok(line.and_then(|line| self.buffer.get(line)))
    }

    /// The code of the next reply; [`Self::reply_text`] has the words.
    pub(crate) async fn reply(&mut self) -> anyhow::Result<u16> {
        loop {
            while let Some(range) = self.find_line()? {
                let line = self.buffer.get(range.clone()).unwrap_or_default();
                if line.get(3) != Some(&b'-') {
                    let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok());
                    let code = code.and_then(|code| code.parse().ok());
                    let text = String::from_utf8_lossy(line);
                    let code = code.with_context(|| format!("`{text}` is not a reply"))?;
                    self.reply = range;
                    return Ok(code);
                }
            }
            ensure!(self.fill(READ_OCTETS).await?, "the peer closed instead of replying");
        }
    }

    /// The last line of the last reply.
    pub(crate) fn reply_text(&self) -> String {
        let line = self.buffer.get(self.reply.clone()).unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }

    fn find_line(&mut self) -> anyhow::Result<Option<Range<usize>>> {
        let unread = self.unread();
        let end = memchr::memchr_iter(b'\n', unread)
            .filter_map(|feed| feed.checked_sub(1))
            .find(|end| unread.get(*end) == Some(&b'\r'));
        let Some(end) = end else {
            ensure!(unread.len() <= LINE_OCTETS_MAX, "the peer sent an endless line");
            return Ok(None);
        };
        let start = self.used;
        self.used += end + 2;
        Ok(Some(start..start + end))
    }
}
