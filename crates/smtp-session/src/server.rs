//! The server's side of a session.
//!
//! The driver moves bytes and answers questions; the order of commands, the replies and the limits live here. Calls in:
//! [`Session::receive`], [`Session::decide`], [`Session::login`], [`Session::stored`], [`Session::not_stored`],
//! [`Session::tls_started`], [`Session::expire`], [`Session::shut_down`], [`Session::input_ended`]. After each of them the
//! driver takes [`Session::next_step`] until it is none, then reads more if [`Session::wants_input`].

mod bad_param;
mod held;
mod intake;
mod line_length;
mod login;
mod mail_params;
mod pace;
mod replies;
mod session;
mod settings;
mod state;
mod step;
mod talk;
mod transact;
mod xclient;

pub use session::Session;
pub use settings::{Offers, Security, Settings};
pub use smtp_codec::{Extension, ExtensionSet, Proxied, ProxyError, ProxyHeader, Xclient};
pub use step::{LoginVerdict, Question, Reason, Said, Step, Transaction, Verdict};
