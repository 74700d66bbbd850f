//! The ready file, by which a program that started the relay learns its addresses.

use std::fs;
use std::path::{Path, PathBuf};

use admin::view::Listener;
use anyhow::Context;
use serde::Serialize;

use crate::failure::Result;

/// What the ready file says.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    /// Where mail is taken.
    pub(crate) listeners: Vec<Listener>,
    /// Where the relay is controlled and watched.
    pub(crate) admin: Admin,
    /// The process.
    pub(crate) pid: u32,
}

/// Where the relay is controlled and watched.
#[derive(Debug, Serialize)]
pub(crate) struct Admin {
    /// The control socket.
    pub(crate) socket: PathBuf,
    /// The address of metrics and health.
    pub(crate) http: Option<std::net::SocketAddr>,
}

/// Writes the ready file whole or not at all: a reader never sees a half of it.
pub(crate) fn write<T: Serialize>(path: &Path, ready: &T) -> Result {
    let text = serde_json::to_vec(ready).context("the ready file cannot be made")?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("the ready file {} cannot be written", path.display()))?;
    Ok(())
}
