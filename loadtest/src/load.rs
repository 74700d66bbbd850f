//! What is sent.

use std::net::SocketAddr;

use clap::Args;
use units::ByteSize;

/// The load, as the command line has it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// Tells this run's messages from those of other runs.
    #[arg(skip)]
    pub(crate) run: u64,
    /// The relay's listener.
    #[arg(long, default_value = "127.0.0.1:2525")]
    pub(crate) target: SocketAddr,
    /// How many messages to send.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) messages: u64,
    /// How many connections send at the same time.
    #[arg(long, default_value_t = 50)]
    pub(crate) connections: usize,
    /// Size of each message, headers included.
    #[arg(long, default_value = "10KiB")]
    pub(crate) size: ByteSize,
    /// Messages a connection carries before it is closed; 0 for no end.
    #[arg(long, default_value_t = 0)]
    pub(crate) per_connection: u64,
    /// Recipients of each message.
    #[arg(long, default_value_t = 1)]
    pub(crate) recipients: usize,
    /// Recipient domains, used in turn.
    #[arg(long, default_value_t = 1)]
    pub(crate) domains: u64,
    /// Send MAIL, RCPT and DATA in one go (RFC 2920).
    #[arg(long)]
    pub(crate) pipelining: bool,
}

/// The header by which the sink knows a message: the run, a hyphen, its number. What an earlier run left in the
/// relay's queue is another run's, and counts as unknown.
pub(crate) const NUMBER_HEADER: &str = "X-Load-Number: ";

/// What the content is filled with.
const LINE: &[u8] =
    b"The runner takes the message, runs to the next hut, and hands it on. 0123456789\r\n";

impl Load {
    /// The lines of `MAIL` and `RCPT` for message `number`.
    pub(crate) fn envelope(&self, number: u64) -> Vec<String> {
        let recipient = |place: usize| {
            let domain = number.wrapping_add(place as u64) % self.domains.max(1);
            format!("RCPT TO:<user{place}@domain{domain}.example>\r\n")
        };
        let sender = "MAIL FROM:<load@source.example>\r\n".to_owned();
        std::iter::once(sender).chain((0..self.recipients).map(recipient)).collect()
    }

    /// The content of message `number`, its dots stuffed, with the final dot.
    pub(crate) fn content(&self, number: u64) -> Vec<u8> {
        let run = self.run;
        let head = format!(
            "From: load@source.example\r\nTo: user@domain.example\r\nSubject: load {number}\r\n\
             Message-ID: <{number}@source.example>\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n{NUMBER_HEADER}{run}-{number}\r\n\r\n"
        );
        let mut content = head.into_bytes();
        let size = self.size.as_usize();
        while content.len() + LINE.len() <= size {
            content.extend_from_slice(LINE);
        }
        content.extend_from_slice(b".\r\n");
        content
    }
}
