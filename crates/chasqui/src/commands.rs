//! What each command does.

mod config;
mod connector;
mod dkim;
mod domain;
mod explain_connection;
mod login;
mod queue;
mod quickstart;
mod route;
mod send;
mod serve;
mod sink;
mod spool;
mod status;
mod token;
mod trace_headers;

use crate::arguments::Command;
use crate::failure::Result;
use crate::reach::wait_for;

/// Does what the command line says.
pub(crate) fn run(command: Command) -> Result {
    match command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Status(ask) => wait_for(status::run(&ask)),
        Command::Config(config) => config::run(&config),
        Command::Route(route) => route::run(&route),
        Command::ExplainConnection(explain) => explain_connection::run(&explain),
        Command::TraceHeaders(trace) => trace_headers::run(&trace),
        Command::Queue(queue) => wait_for(queue::run(&queue)),
        Command::Connector(connector) => wait_for(connector::run(&connector)),
        Command::Dkim(dkim) => wait_for(dkim::run(&dkim)),
        Command::Domain(domain) => wait_for(domain::run(&domain)),
        Command::Token(token) => token::run(&token),
        Command::Login(login) => login::run(&login),
        Command::Send(send) => wait_for(send::run(&send)),
        Command::Sink(sink) => sink::run(&sink),
        Command::Spool(spool) => spool::run(&spool),
        Command::Quickstart(quickstart) => quickstart::run(&quickstart),
    }
}
