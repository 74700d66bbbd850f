//! Bytes to commands, replies and payload, and back.
//!
//! **Takes** bytes as they come from a socket, cut anywhere. **Gives** lines, commands, payload slices and replies.
//! **Never** touches a socket or a clock, keeps no state beyond framing, takes nothing but CRLF as the end of a line.
//! RFC 5321 §4.1 and §4.5, RFC 1870, RFC 2852, RFC 3030, RFC 3461 §4, RFC 4865, RFC 4954 §5, RFC 6152, RFC 6531,
//! RFC 6533 §3, RFC 6710, RFC 8689.

mod bdat;
mod command;
mod data;
mod extension;
mod header;
mod line;
mod mail_params;
mod params;
mod path;
mod proxy;
mod rcpt_params;
mod reply;
mod scan;
mod stuff;
mod text;
mod write;
mod xclient;
mod xtext;

pub use bdat::BdatDecoder;
pub use command::{Command, CommandError};
pub use data::{DataDecoder, Decoded};
pub use extension::{Extension, ExtensionSet};
pub use header::HeaderScan;
pub use line::{LineError, LineReader};
pub use mail_params::{By, Hold, MailParam};
pub use params::{Param, ParamError, Params};
pub use proxy::{Proxied, ProxyError, ProxyHeader};
pub use rcpt_params::RcptParam;
pub use reply::{ReplyError, ReplyReader};
pub use scan::LineScan;
pub use stuff::DotStuffer;
pub use write::{write_bdat, write_mail, write_rcpt, write_reply};
pub use xclient::{XCLIENT_OFFER, Xclient};
