//! Where milters listen, and a connection there.

use std::io;
use std::path::PathBuf;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// So much is read at once, or more.
const READ_OCTETS: usize = 1024;

/// Where a milter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// Reads `inet:host:port`, `inet:port@host` or `unix:path`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.strip_prefix("local:")) {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let inner = text.strip_prefix("inet:").or_else(|| text.strip_prefix("inet6:"))?;
        let (host, port) = match inner.split_once('@') {
            Some((port, host)) => (host, port),
            None => inner.rsplit_once(':')?,
        };
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| Self::Tcp { host: host.to_owned(), port })
    }

    pub(crate) async fn open(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Reads what is there; how many octets.
    pub(crate) async fn read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        into.reserve(READ_OCTETS);
        match self {
            Self::Tcp(stream) => stream.read_buf(into).await,
            Self::Unix(stream) => stream.read_buf(into).await,
        }
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(octets).await,
            Self::Unix(stream) => stream.write_all(octets).await,
        }
    }

    /// Writes as much as goes at once, for words that nobody waits for.
    pub(crate) fn write_now(&self, octets: &[u8]) {
        let written = match self {
            Self::Tcp(stream) => stream.try_write(octets),
            Self::Unix(stream) => stream.try_write(octets),
        };
        written.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port| Some(Address::Tcp { host: host.to_owned(), port });
        for (text, want) in [
            ("inet:127.0.0.1:8891", tcp("127.0.0.1", 8891)),
            ("inet:8891@localhost", tcp("localhost", 8891)),
            ("inet:[::1]:8891", tcp("::1", 8891)),
            ("inet6:8891@[::1]", tcp("::1", 8891)),
            ("unix:/run/it.sock", Some(Address::Unix("/run/it.sock".into()))),
            ("unix:it.sock", None),
            ("inet:8891", None),
            ("inet::8891", None),
            ("inet:a:0", None),
            ("a:8891", None),
            ("", None),
        ] {
            assert_eq!(Address::parse(text), want, "{text}");
        }
    }
}
