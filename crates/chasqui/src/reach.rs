//! How commands wait, and how they reach a running relay.

use std::future::Future;
use std::path::PathBuf;

use admin::Client;
use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

use crate::arguments::Reach;
use crate::failure::Result;

/// Waits for one command's work.
pub(crate) fn wait_for(work: impl Future<Output = Result>) -> Result {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(work)
}

/// The runtime of a service; 0 threads means one per processor.
pub(crate) fn service_runtime(threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_name("chasqui");
    if threads > 0 {
        builder.worker_threads(threads);
    }
    Ok(builder.build().context("the runtime cannot be started")?)
}

/// A client of the relay that `reach` names.
pub(crate) fn client(reach: &Reach) -> Result<Client> {
    Ok(Client::new(&socket(reach)?)?)
}

fn socket(reach: &Reach) -> Result<PathBuf> {
    Ok(match &reach.socket {
        Some(path) => path.clone(),
        None => settings::load(&reach.config)?.admin.socket,
    })
}
