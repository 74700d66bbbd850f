//! Logins by SASL on both sides: who a client is, and what shows a server who we are.
//!
//! **Takes** what stands behind `AUTH` and in the lines that follow, the facts of a connection, a file of accounts.
//! **Gives** challenges and replies, an [`Identity`] or a [`Refusal`](server::Refusal) with its reason, and for the
//! client's side the lines to send.
//! **Never** touches a mail connection: the exchanges are driven, only token services are asked by HTTPS; never shows a
//! secret in a reply, a log or `Debug`; never lets a peer tell an unknown account from a wrong password.
//! RFC 4422, RFC 4954, RFC 4616, RFC 5802, RFC 5803, RFC 7677, RFC 4013, RFC 9266, RFC 5929, RFC 7628, RFC 7519, RFC 6749.

mod account;
mod accounts;
mod attempts;
mod binding;
mod book;
pub mod client;
pub mod config;
mod file;
mod hashing;
mod http;
mod metrics;
mod password;
mod pool;
mod rsasl_sides;
mod scram;
mod secret;
mod senders;
pub mod server;
mod table;
mod text;
mod tokens;

pub use accounts::{Accounts, AccountsError};
pub use attempts::{Attempts, Ban, Banned, Whom};
pub use binding::ChannelBindings;
pub use file::Problem;
pub use hashing::{Cost, Entry, EntryError, HashError, Hashed, hash_password};
pub use secret::SecretFileError;
pub use senders::{Senders, SendersError};
pub use server::{Authenticator, Identity};
pub use tokens::TokensError;
