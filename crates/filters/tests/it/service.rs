//! An HTTP service that answers as it is told, and remembers what it has been asked.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub(crate) struct Service {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
    folder: Arc<TempDir>,
}

impl Service {
    pub(crate) async fn start(code: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::default(),
            asked: Arc::default(),
            folder: Arc::new(tempfile::tempdir().unwrap()),
        };
        service.answers(code, body);
        let server = service.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        service
    }

    pub(crate) fn answers(&self, code: u16, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() = Some(format!(
            "HTTP/1.1 {code} It\r\ncontent-length: {length}\r\nlocation: /elsewhere\r\n\r\n{body}"
        ));
    }

    /// From now on it says nothing.
    pub(crate) fn hangs(&self) {
        *self.answer.lock().unwrap() = None;
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests up to now, whole.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// A file with a secret.
    pub(crate) fn secret(&self, text: &str) -> PathBuf {
        let file = self.folder.path().join(text.replace(' ', "-"));
        fs::write(&file, format!("{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        file
    }

    async fn serve(self, mut stream: TcpStream) {
        loop {
            let mut request = Vec::new();
            while !is_whole(&request) {
                match stream.read_buf(&mut request).await {
                    Ok(1..) => {}
                    _ => return,
                }
            }
            self.asked.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let answer = self.answer.lock().unwrap().clone();
            let Some(answer) = answer else { return std::future::pending().await };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let mut lines = head.lines();
    let length =
        lines.find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
