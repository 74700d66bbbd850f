//! Measurements of the parts that a message's cost comes from; what they share.
//!
//! **Takes** nothing. **Gives** envelopes and contents of a chosen size.
//! **Never** is part of the relay. Run them with `make bench`.

use bytes::Bytes;
use mail::{Address, BodyType, Envelope, Origin, Recipient, ReversePath};

/// An envelope with one recipient.
///
/// # Panics
/// Never: both addresses are fixed.
#[expect(clippy::expect_used, reason = "fixed texts that parse")]
pub fn envelope() -> Envelope {
    let address = |text| Address::parse(text).expect("a valid address");
    Envelope {
        sender: ReversePath::Address(address("sender@source.example")),
        recipients: vec![Recipient { address: address("user@destination.example") }],
        body_type: BodyType::SevenBit,
        needs_smtputf8: false,
        origin: Origin {
            client: None,
            helo: "source.example".into(),
            listener: "smtp".into(),
            connector: "applications".into(),
            tls: None,
        },
    }
}

/// A message of about `octets` octets: a head and lines of text.
pub fn content(octets: usize) -> Bytes {
    let line =
        b"The runner takes the message, runs to the next hut, and hands it on. 0123456789\r\n";
    let mut content = b"From: a@b.example\r\nSubject: a measurement\r\n\r\n".to_vec();
    while content.len() + line.len() <= octets {
        content.extend_from_slice(line);
    }
    content.into()
}
