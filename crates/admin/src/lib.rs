//! The way in for operators: the control API, metrics and health over HTTP, and the client for it.
//!
//! **Takes** a [`Relay`] that answers, the metrics registry, a socket path and an address. **Gives** the API
//! version 1 on a Unix socket of mode 0600, `/metrics` and `/health/…` on TCP, and a [`Client`].
//! **Never** changes anything over TCP; knows no service, only the [`Relay`] trait.
//! RFC 9110, Prometheus text format 0.0.4.

mod bounded;
mod client;
mod config;
mod failure;
mod metrics;
mod relay;
mod routes;
mod server;
pub mod view;

pub use client::{Client, ClientError};
pub use config::Config;
pub use failure::Failure;
pub use relay::Relay;
pub use server::{BindError, Server};
