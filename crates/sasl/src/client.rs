//! The client's side: what shows a server who we are.

mod error;
mod exchange;
mod login;
mod token;

pub use error::{ClientError, LoginError, TokenError};
pub use exchange::{CANCEL, Exchange};
pub use login::{Facts, Login};
