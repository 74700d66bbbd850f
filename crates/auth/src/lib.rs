//! SPF, DKIM, DMARC and ARC: what arrives is evaluated, what leaves is signed.
//!
//! **Takes** a client's address and names, an envelope, content as octets; domains' private keys; a DNS resolver.
//! **Gives** results with their reasons, an `Authentication-Results` field, `DKIM-Signature` fields, signed return paths and
//! reply addresses.
//! **Never** decides what follows from a result, and signs with no key that its owner has not activated.
//! RFC 7208, RFC 6376, RFC 8463, RFC 9989, RFC 8617, RFC 8601.

pub mod config;
pub mod doctor;
pub mod finding;

mod authenticator;
mod canonical;
mod dmarc;
mod dns;
mod header;
mod key;
mod metrics;
mod received;
mod results;
mod return_paths;
mod secret_file;
mod signer;
mod signing_key;
mod spf;
mod srs;
mod threads;
mod token;
mod verp;

pub use authenticator::{Authenticator, Client, Content};
pub use config::Config;
pub use dns::{Dns, LookupError};
pub use key::{Kind, Made, MakeError, Record, make};
pub use return_paths::{Origin, ReturnPaths, ReturnPathsError, Wanted};
pub use signer::{Choice, KeyError, LeftOut, Published, SignError, Signer, SigningKey};
pub use srs::{ReverseError, RewriteError};
pub use threads::{ForgedThread, Thread};
pub use token::SecretError;
pub use verp::About;
