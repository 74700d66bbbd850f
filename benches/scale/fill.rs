//! Deferred messages, put into a spool.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use mail::{Address, BodyType, Envelope, Origin, Recipient, ReversePath, Timestamp, Wishes};
use serde::Serialize;
use spool::{Filler, RecipientState};
use units::Clock;

/// What a spool is filled with.
pub(crate) struct Fill<'a> {
    pub(crate) spool: &'a Path,
    pub(crate) messages: u64,
    pub(crate) domains: u64,
    pub(crate) octets: usize,
    pub(crate) due_in: Duration,
}

/// How long that took.
#[derive(Debug, Serialize)]
pub(crate) struct Filled {
    pub(crate) seconds: f64,
    pub(crate) messages_per_second: f64,
}

impl Fill<'_> {
    #[expect(clippy::cast_precision_loss, reason = "less than 2^52")]
    pub(crate) fn run(&self) -> Result<Filled> {
        let clock = Clock::system();
        let began = clock.now();
        let mut filler = Filler::open(self.spool, clock.clone(), 1)?;
        let content = content(self.octets);
        for number in 0..self.messages {
            // Spread over a fifth, as jitter does.
            let earlier = self.due_in.mul_f64(0.2 * spread(number));
            let now = Timestamp::from_millis(clock.unix_millis());
            let waiting = RecipientState::Waiting {
                tries: 3,
                next_try_at: now.plus(self.due_in.saturating_sub(earlier)),
                last: Some("451 4.7.1 greylisted, please try again later".into()),
                is_told: false,
            };
            filler.put(self.envelope(number)?, content.as_bytes(), &waiting)?;
        }
        filler.close()?;
        let seconds = (clock.now() - began).as_secs_f64();
        Ok(Filled { seconds, messages_per_second: self.messages as f64 / seconds })
    }

    fn envelope(&self, number: u64) -> Result<Envelope> {
        let recipient = format!("recipient{number}@customer{}.example", number % self.domains);
        Ok(Envelope {
            sender: ReversePath::Address(Address::parse("newsletter@sender.example")?),
            recipients: vec![Recipient::from(Address::parse(&recipient)?)],
            body_type: BodyType::SevenBit,
            needs_smtputf8: false,
            wishes: Wishes::default(),
            origin: Origin {
                client: Some([192, 0, 2, 1].into()),
                helo: "application.sender.example".into(),
                listener: "smtp".into(),
                connector: "applications".into(),
                tls: None,
                login: None,
            },
            directions: None,
        })
    }
}

/// From 0 to 1, evenly, in no order.
#[expect(clippy::cast_precision_loss, reason = "it is spread, not counted")]
fn spread(number: u64) -> f64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64
}

fn content(octets: usize) -> String {
    const HEAD: &str = "From: <newsletter@sender.example>\r\nSubject: scale\r\n\r\n";
    const LINE: &str = "The quick brown fox jumps over the lazy dog, and then once more.\r\n";
    let mut text = HEAD.to_owned();
    while text.len() + LINE.len() <= octets {
        text.push_str(LINE);
    }
    text
}
