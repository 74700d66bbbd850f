//! What each command does.

mod config;
mod queue;
mod quickstart;
mod send;
mod serve;
mod sink;
mod spool;
mod status;

use std::future::Future;
use std::path::PathBuf;

use admin::Client;
use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

use crate::arguments::{Command, Reach};
use crate::failure::Result;

/// Does what the command line says.
pub(crate) fn run(command: Command) -> Result {
    match command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Status(ask) => wait_for(status::run(&ask)),
        Command::Config(config) => config::run(&config),
        Command::Queue(queue) => wait_for(queue::run(&queue)),
        Command::Send(send) => wait_for(send::run(&send)),
        Command::Sink(sink) => sink::run(&sink),
        Command::Spool(spool) => spool::run(&spool),
        Command::Quickstart(quickstart) => quickstart::run(&quickstart),
    }
}

/// Waits for one command's work.
fn wait_for(work: impl Future<Output = Result>) -> Result {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(work)
}

/// The runtime of a service; 0 threads means one per processor.
fn service_runtime(threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_name("chasqui");
    if threads > 0 {
        builder.worker_threads(threads);
    }
    Ok(builder.build().context("the runtime cannot be started")?)
}

/// A client of the relay that `reach` names.
fn client(reach: &Reach) -> Result<Client> {
    Ok(Client::new(&socket(reach)?)?)
}

fn socket(reach: &Reach) -> Result<PathBuf> {
    Ok(match &reach.socket {
        Some(path) => path.clone(),
        None => settings::load(&reach.config)?.admin.socket,
    })
}
