//! `chasqui sink`.

use anyhow::Context;
use serde::Serialize;
use tokio::sync::watch;
use units::Clock;

use crate::arguments;
use crate::failure::Result;
use crate::reach::service_runtime;
use crate::signals::{Signals, Wish};
use crate::{log, output, ready};

/// Messages that are taken and not yet printed; past it clients wait.
const MESSAGES_MAX: usize = 1024;

/// One line of `sink --json`.
#[derive(Debug, Serialize)]
struct Line {
    number: u64,
    client: String,
    helo: String,
    sender: String,
    recipients: Vec<String>,
    body_type: &'static str,
    needs_smtputf8: bool,
    octets: u64,
    path: Option<String>,
}

/// What the ready file says.
#[derive(Debug, Serialize)]
struct Ready {
    listeners: Vec<admin::view::Listener>,
    pid: u32,
}

/// Does it.
pub(crate) fn run(sink: &arguments::Sink) -> Result {
    let level = settings::LogLevel::Warn;
    let _log = log::start(&settings::Log { level, ..settings::Log::default() }, None)?;
    service_runtime(0)?.block_on(serve(sink))
}

async fn serve(arguments: &arguments::Sink) -> Result {
    let mut signals = Signals::listen().context("signals cannot be listened to")?;
    let keep = arguments.store.clone().map_or(::sink::Keep::Nothing, ::sink::Keep::Folder);
    let options = ::sink::Options { address: arguments.listen, keep, ..::sink::Options::default() };
    let sink = ::sink::Sink::bind(options, Clock::system())
        .with_context(|| format!("the sink cannot listen on {}", arguments.listen))?;
    let address = sink.address().context("the sink has no address")?;
    output::note(format!("sink listens on {address}"));
    if let Some(path) = &arguments.ready_file {
        let listeners = vec![admin::view::Listener { name: "sink".to_owned(), address }];
        ready::write(path, &Ready { listeners, pid: std::process::id() })?;
    }
    let (messages_in, mut messages) = channel::bounded(MESSAGES_MAX);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(sink.run(messages_in, stopped));
    loop {
        tokio::select! {
            wish = signals.next() => if wish == Wish::Stop { break },
            message = messages.recv() => match message {
                Ok(message) => print(arguments, &message)?,
                Err(channel::Closed) => break,
            },
        }
    }
    stop.send_replace(true);
    running.await.context("the sink broke")?;
    // What was answered 250 before the stop is still told.
    while let Some(message) = messages.try_recv() {
        print(arguments, &message)?;
    }
    Ok(())
}

fn print(arguments: &arguments::Sink, message: &::sink::Message) -> Result {
    if arguments.json {
        return output::json(&line(message));
    }
    output::line(words(message))
}

/// A message in one line for people.
pub(crate) fn words(message: &::sink::Message) -> String {
    let recipients: Vec<_> = message.recipients.iter().map(ToString::to_string).collect();
    let path = message.path.as_ref().map(|path| format!(" in {}", path.display()));
    format!(
        "message {} from {} for {}: {}{}",
        message.number,
        message.sender,
        recipients.join(", "),
        output::octets(message.octets),
        path.unwrap_or_default(),
    )
}

fn line(message: &::sink::Message) -> Line {
    Line {
        number: message.number,
        client: message.client.to_string(),
        helo: message.helo.to_string(),
        sender: message.sender.address().map(ToString::to_string).unwrap_or_default(),
        recipients: message.recipients.iter().map(ToString::to_string).collect(),
        body_type: message.body_type.as_str(),
        needs_smtputf8: message.needs_smtputf8,
        octets: message.octets,
        path: message.path.as_ref().map(|path| path.display().to_string()),
    }
}
