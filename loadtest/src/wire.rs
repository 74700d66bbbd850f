//! Lines over a socket: the little of SMTP that a source and a sink share.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A socket and what was read from it and not used yet.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// No line, reply or command is longer than this.
const LINE_OCTETS_MAX: usize = 64 * 1024;

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Without it each small write would wait for an acknowledgement; failing is harmless.
        stream.set_nodelay(true).ok();
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(octets).await.context("sending")
    }

    /// Reads more; says whether the peer is still there.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await.context("receiving")? > 0)
    }

    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next line without its end; none when the peer closed.
    pub(crate) async fn line(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let rest = self.buffer.split_off(end + 2);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.buffer.len() > LINE_OCTETS_MAX {
                bail!("the peer sent a line of more than {LINE_OCTETS_MAX} octets");
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The code of the next reply, and its last line.
    pub(crate) async fn reply(&mut self) -> anyhow::Result<(u16, String)> {
        loop {
            let line = self.line().await?.context("the peer closed instead of replying")?;
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|code| code.parse().ok());
                return Ok((code.with_context(|| format!("`{line}` is not a reply"))?, line));
            }
        }
    }
}
