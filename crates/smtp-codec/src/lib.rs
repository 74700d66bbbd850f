//! Bytes to commands, replies and payload, and back.
//!
//! **Takes** bytes as they come from a socket, cut anywhere. **Gives** lines, commands, payload slices and replies.
//! **Never** touches a socket or a clock, keeps no state beyond framing, takes nothing but CRLF as the end of a line.
//! RFC 5321 §4.1 and §4.5, RFC 3030, RFC 6152, RFC 6531.

mod bdat;
mod command;
mod data;
mod header;
mod line;
mod params;
mod path;
mod reply;
mod scan;
mod stuff;
mod text;
mod write;

pub use bdat::BdatDecoder;
pub use command::{Command, CommandError};
pub use data::{DataDecoder, Decoded};
pub use header::HeaderScan;
pub use line::{LineError, LineReader};
pub use params::{Param, Params};
pub use reply::{ReplyError, ReplyReader};
pub use scan::LineScan;
pub use stuff::DotStuffer;
pub use write::{MailParams, write_mail, write_rcpt, write_reply};
