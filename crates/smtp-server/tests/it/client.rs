//! A client made of a raw socket.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

/// A whole reply; empty if the connection was closed instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said(pub(crate) String);

impl Said {
    pub(crate) fn code(&self) -> u16 {
        self.0.get(..3).map_or(0, |code| code.parse().unwrap())
    }

    #[track_caller]
    pub(crate) fn is(&self, start: &str) {
        assert!(self.0.starts_with(start), "want {start:?}, got {self:?}");
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_from("127.0.0.1", address).await
    }

    pub(crate) async fn connect_from(ip: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        Self::new(socket.connect(address).await.unwrap())
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        assert!(self.stream.buffer().is_empty(), "unread: {:?}", self.stream.buffer());
        self.stream.into_inner()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        let write = async {
            self.stream.write_all(octets.as_ref()).await?;
            self.stream.flush().await
        };
        timeout(WAIT_MAX, write).await.expect("nobody reads").unwrap();
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> Said {
        let mut said = String::new();
        loop {
            let start = said.len();
            let read = timeout(WAIT_MAX, self.stream.read_line(&mut said)).await;
            let octets = read.expect("no reply came").unwrap_or(0);
            if octets == 0 || said.as_bytes().get(start + 3) != Some(&b'-') {
                return Said(said);
            }
        }
    }

    pub(crate) async fn say(&mut self, line: &str) -> Said {
        self.send(format!("{line}\r\n")).await;
        self.reply().await
    }

    /// Says each line, wanting each reply.
    #[track_caller]
    pub(crate) fn talk<'a>(
        &'a mut self,
        lines: &'a [(&'a str, &'a str)],
    ) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            for (line, want) in lines {
                let said = self.say(line).await;
                assert!(said.0.starts_with(want), "{line}: want {want:?}, got {said:?} ({place})");
            }
        }
    }

    /// Sends content and its end, to the reply.
    pub(crate) async fn content(&mut self, content: impl AsRef<[u8]>) -> Said {
        let mut octets = content.as_ref().to_vec();
        octets.extend_from_slice(b".\r\n");
        self.send(octets).await;
        self.reply().await
    }

    /// From MAIL to the reply to the content, which is stuffed already.
    pub(crate) async fn message(&mut self, content: impl AsRef<[u8]>) -> Said {
        self.talk(&[
            ("MAIL FROM:<a@client.test>", "250 2.1.0"),
            ("RCPT TO:<b@example.com>", "250 2.1.5"),
            ("DATA", "354"),
        ])
        .await;
        self.content(content).await
    }

    /// Whether the server closes without a further word; closes too.
    pub(crate) async fn sees_close(mut self) -> bool {
        let mut rest = Vec::new();
        let read = timeout(WAIT_MAX, self.stream.read_to_end(&mut rest)).await;
        // A reset closes too.
        drop(read.expect("it stays open"));
        rest.is_empty()
    }
}
