//! Applications as next hops: where the replies to what they sent go.

use std::path::PathBuf;

use mail::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// An application that takes mail itself, by HTTP or as a program that reads it.
///
/// Replies in its threads come to `local+thread.mark@domain`, signed with `secrets_file` of `[rewrite]`: that is the
/// Reply-To of mail that names a thread in a field `X-Chasqui-Thread` (see `threads` of `[[inbound]]`). Such replies are
/// taken from everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Application {
    /// Its address, such as `reply@desk.example.com`, whose local part is of 20 octets or fewer. `recipient_domains` of the
    /// connector is the domain of it and nothing else, whose MX must lead here.
    pub address: String,
    /// Whether mail to the address itself, which belongs to no thread, is taken from everybody, too: it begins a thread.
    /// Otherwise only those who may relay can write to it.
    pub takes_new_threads: bool,
    /// Where messages are posted, such as `http://127.0.0.1:8069/mail`. The body is the message (`message/rfc822`); fields
    /// `X-Chasqui-Message`, `-Thread`, `-Sender`, `-Recipient`, `-Automatic` and `-Tries` tell the rest. Any 2xx means that it was taken;
    /// 406, 413, 415 and 422 return it to its sender, and after any other status it is tried again.
    pub url: Option<String>,
    /// The program that reads a message from its standard input, and its arguments, in place of `url`: `{message}`,
    /// `{thread}`, `{sender}`, `{recipient}`, `{automatic}` and `{tries}` in them are replaced. No shell sees them. Exit code 0 means
    /// that it was taken; 65, 67 and 77 (`EX_DATAERR`, `EX_NOUSER`, `EX_NOPERM`) return it to its sender, with the last line that
    /// the program wrote to its standard error; after any other it is tried again.
    pub command: Vec<String>,
    /// A file that holds the token that is sent as `Authorization: Bearer`, on one line. Only sent over TLS or to this
    /// machine. Read at start and at reload.
    pub token_file: Option<PathBuf>,
    /// A file that holds the key with which posts are signed, on one line: `X-Chasqui-Signature: t=seconds,v1=hex`, the
    /// HMAC-SHA-256 of the seconds, a dot, the values of the fields in this order, each with a line feed behind it, and the body.
    /// Read at start and at reload.
    pub signature_key_file: Option<PathBuf>,
    /// How long it may take over one message.
    pub answer_wait_max: Span,
    /// How many of the followers that it names for a message get it; it names them by answering with JSON:
    /// `{"followers": ["ana@example.com"]}`. An answer with more is passed over. 0: nobody does.
    pub followers_max: u32,
}

impl Default for Application {
    fn default() -> Self {
        Self {
            address: String::new(),
            takes_new_threads: false,
            url: None,
            command: Vec::new(),
            token_file: None,
            signature_key_file: None,
            answer_wait_max: Span::minutes(1),
            followers_max: 100,
        }
    }
}

impl Application {
    /// What stands in braces in `command`, and in the names of the fields of a post.
    pub const FACTS: [&str; 6] = ["message", "thread", "sender", "recipient", "automatic", "tries"];

    /// The longest local part: with a thread's name and its mark there is room for no longer one (RFC 5321 §4.5.3.1.1).
    const LOCAL_OCTETS_MAX: usize = 20;

    /// Its address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parsed(&self) -> Result<Address, &'static str> {
        let address = Address::parse(&self.address).ok();
        let address = address.filter(|it| it.domain().is_some_and(|it| it.literal().is_none()));
        let address = address.ok_or("is not an address such as \"reply@desk.example.com\"")?;
        let local = address.local_part();
        let is_plain = local.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it));
        if is_plain && local.len() <= Self::LOCAL_OCTETS_MAX {
            Ok(address)
        } else {
            Err("has a local part that is not of up to 20 letters, digits, `.`, `_` and `-`")
        }
    }
}
