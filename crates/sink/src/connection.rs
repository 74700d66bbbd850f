//! One connection of the sink.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use channel::Sender;
use mail::{
    Accepted, EnhancedStatus, Envelope, MessageId, Origin, Reply, ReversePath, Timestamp, Wishes,
};
use smtp_session::server::{Question, Security, Session, Step, Transaction, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use crate::content::Content;
use crate::message::Message;
use crate::shared::Shared;

const READ_OCTETS: usize = 64 << 10;
/// A client that does not read its replies for so long is cut off.
const WRITE_WAIT_MAX: Duration = Duration::from_mins(1);

pub(crate) struct Connection {
    shared: Arc<Shared>,
    socket: TcpStream,
    client: SocketAddr,
    /// Like no other connection's.
    name: u64,
    session: Session,
    content: Option<Content>,
    messages: Sender<Message>,
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        socket: TcpStream,
        (client, name): (SocketAddr, u64),
        messages: Sender<Message>,
    ) -> Self {
        let settings = Arc::clone(&shared.settings);
        let session = Session::new(settings, Security::default(), shared.clock.now());
        Self { shared, socket, client, name, session, content: None, messages }
    }

    pub(crate) async fn run(mut self) {
        if let Err(error) = self.talk().await {
            tracing::debug!(client = %self.client, %error, "connection lost");
        }
        self.abandon().await;
    }

    async fn talk(&mut self) -> io::Result<()> {
        let mut input = BytesMut::new();
        let alarm = sleep_until(self.session.deadline().into());
        tokio::pin!(alarm);
        loop {
            while let Some(step) = self.session.next_step() {
                match step {
                    Step::Send(replies) => self.send(&replies).await?,
                    Step::Ask(question) => {
                        let verdict = self.verdict(&question).await;
                        self.session.decide(verdict, self.shared.clock.now());
                    }
                    Step::Body(chunk) => self.append(&chunk).await,
                    Step::Commit(transaction) => self.commit(*transaction).await,
                    Step::Abandon => self.abandon().await,
                    // Not offered.
                    Step::StartTls | Step::Login(_) | Step::ForgetLogin => {
                        return Err(io::ErrorKind::Unsupported.into());
                    }
                    Step::Close(_) => return self.socket.shutdown().await,
                }
            }
            let deadline = tokio::time::Instant::from_std(self.session.deadline());
            if alarm.is_elapsed() || deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            if input.capacity() < READ_OCTETS / 2 {
                input.reserve(READ_OCTETS);
            }
            tokio::select! {
                biased;
                read = self.socket.read_buf(&mut input), if self.session.wants_input() => {
                    let now = self.shared.clock.now();
                    match read? {
                        0 => self.session.input_ended(now),
                        _ => self.session.receive(input.split().freeze(), now),
                    }
                }
                () = alarm.as_mut() => self.session.expire(self.shared.clock.now()),
            }
        }
    }

    async fn send(&mut self, replies: &[u8]) -> io::Result<()> {
        match timeout(WRITE_WAIT_MAX, self.socket.write_all(replies)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn verdict(&mut self, question: &Question) -> Verdict {
        if *question == Question::Content {
            match Content::begin(&self.shared.keep, self.name).await {
                Ok(content) => self.content = Some(content),
                Err(error) => return Verdict::Refuse(failure(&error)),
            }
        }
        Verdict::Accept
    }

    async fn append(&mut self, chunk: &Bytes) {
        let Some(content) = &mut self.content else { return };
        if let Err(error) = content.append(chunk).await {
            self.abandon().await;
            self.session.not_stored(failure(&error), self.shared.clock.now());
        }
    }

    async fn commit(&mut self, transaction: Transaction) {
        let content = self.content.take().unwrap_or(Content::Counted);
        let number = self.shared.number_last.fetch_add(1, Ordering::Relaxed) + 1;
        let (content, path) = match content.end(number).await {
            Ok(kept) => kept,
            Err(error) => {
                return self.session.not_stored(failure(&error), self.shared.clock.now());
            }
        };
        let accepted = self.accepted(&transaction, number);
        let message = Message {
            number,
            client: self.client,
            helo: transaction.helo,
            sender: transaction.sender,
            recipients: transaction.recipients.into_iter().map(|it| it.address).collect(),
            body_type: transaction.body_type,
            needs_smtputf8: transaction.needs_smtputf8,
            octets: transaction.octets,
            content,
            path,
        };
        // If nobody receives any more, the message is taken all the same.
        self.messages.send(message).await.ok();
        self.session.stored(&accepted, self.shared.clock.now());
    }

    /// What the session wants for a 250: the message's number is its id here.
    fn accepted(&self, transaction: &Transaction, number: u64) -> Accepted {
        let received_at = Timestamp::from_millis(self.shared.clock.unix_millis());
        let origin = Origin {
            client: None,
            helo: Box::default(),
            listener: Box::default(),
            connector: Box::default(),
            tls: None,
            login: None,
        };
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients: Vec::new(),
            body_type: transaction.body_type,
            needs_smtputf8: transaction.needs_smtputf8,
            wishes: Wishes::default(),
            origin,
            directions: None,
        };
        Accepted {
            id: MessageId::new(received_at.as_millis(), u128::from(number)),
            envelope: Arc::new(envelope),
            received_at,
            octets: transaction.octets,
        }
    }

    async fn abandon(&mut self) {
        if let Some(content) = self.content.take() {
            content.abandon().await;
        }
    }
}

fn failure(error: &io::Error) -> Reply {
    Reply::new(451, Some(EnhancedStatus::new(4, 3, 0)), format!("The sink cannot store: {error}"))
}
