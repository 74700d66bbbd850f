//! The way in for operators: the control API, metrics and health over HTTP, and the client for it.
//!
//! **Takes** a [`Relay`] that answers, the metrics registry, a socket path and an address. **Gives** the API
//! version 1 on a Unix socket of mode 0600 and, for holders of tokens, on TCP; `/metrics` and `/health/…`; a [`Client`].
//! **Never** shows more than those two over TCP without a token; knows no service, only the [`Relay`] trait.
//! RFC 9110, RFC 6750, Prometheus text format 0.0.4.

mod access;
mod bounded;
mod client;
mod config;
mod failure;
mod metrics;
mod parts;
mod peer;
mod relay;
mod routes;
mod server;
mod tokens;
pub mod view;

pub use client::{Client, ClientError};
pub use config::{Config, Role, Token};
pub use failure::Failure;
pub use relay::Relay;
pub use server::{BindError, Server};
pub use tokens::new_token;
