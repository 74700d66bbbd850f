//! Sends one message by SMTP and tells each step in words.
//!
//! **Takes** a message with its envelope and a server. **Gives** what the server said at each step, and the end.
//! **Never** tries twice, looks up MX, or keeps a connection: that is `delivery`'s work. For a person at a terminal.
//! RFC 5321, RFC 3207, RFC 4954, by mail-send.

mod conversation;
mod error;
mod submission;
mod text;

pub use conversation::{Sent, Step, send};
pub use error::SendError;
pub use submission::{Credentials, Submission, Tls};
