//! TLS for both directions: an acceptor whose certificate can be changed while it runs, and connectors by how
//! far the other side is verified.
//!
//! **Takes** paths of PEM and PKCS #12 files, TLSA records and plain sockets. **Gives** TLS streams, the facts for a `Received` header, and
//! errors in words that an operator can act on.
//! **Never** speaks SMTP; never uses a process-wide crypto provider; never falls back to clear text by itself.
//! RFC 8446, RFC 5246, RFC 8996, RFC 3207, RFC 7435, RFC 6698, RFC 7671, RFC 7672.

mod authorities;
pub mod client;
mod client_certificate;
pub mod dane;
mod description;
mod end_point;
mod facts;
mod pem;
mod provider;
pub mod server;
mod verifier;
mod words;

pub use client_certificate::{ClientCertificate, client_certificate};
pub use description::Description;
pub use facts::{exporter, facts};
pub use pem::{CertificateError, first_described};
pub use words::HandshakeError;
