//! `chasqui quickstart`: relay and sink in one process, a few messages through, and what became of them.

mod sample;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use channel::Receiver;
use indicatif::{ProgressBar, ProgressStyle};
use policy::Policy;
use settings::{Loaded, Settings};
use tls::client::Connectors;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use units::Clock;

use self::sample::Sample;
use crate::arguments::Quickstart;
use crate::failure::Result;
use crate::reach::service_runtime;
use crate::running::Running;
use crate::signals::{Signals, Wish};
use crate::wire;
use crate::{descriptors, log, look, output};

/// Messages that the sink took and nobody has looked at.
const MESSAGES_MAX: usize = 1024;
const OUTCOMES_WAIT_MAX: Duration = Duration::from_secs(30);
const LOG: &str = "relay.log";

/// Does it.
pub(crate) fn run(quickstart: &Quickstart) -> Result {
    let Loaded { settings, made: policy, .. } =
        settings::load_and_make(&quickstart.config, look::all, |_, _| Vec::new())?;
    let folder = folder(&settings)?;
    let _log = log::start(&settings.log, Some(&folder.join(LOG)))?;
    descriptors::raise(&settings);
    let runtime = service_runtime(settings.runtime.threads)?;
    let result = runtime.block_on(shown(quickstart, settings, policy));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The folder that everything lies in: that of the admin socket.
fn folder(settings: &Settings) -> Result<std::path::PathBuf> {
    let folder = settings.admin.socket.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    Ok(folder.to_owned())
}

async fn shown(quickstart: &Quickstart, settings: Settings, policy: Policy) -> Result {
    let mut signals = Signals::listen().context("signals cannot be listened to")?;
    let mut samples = sample::read(&quickstart.samples)?;
    let mut sink = Sink::start(quickstart)?;
    let log = settings.admin.socket.with_file_name(LOG);
    let mut relay = wire::start((settings, policy), None, Clock::system()).await?;
    let is_good = passed(&mut samples, &relay, &mut sink).await?;
    output::line(sample::table(&samples))?;
    output::line(try_next(quickstart, &relay, &sink, &log))?;
    if !quickstart.once {
        output::line("\nThe relay stays up; Ctrl-C ends it.")?;
        stay(&mut relay, &mut sink, &mut signals).await?;
    }
    relay.stop(signals.stop()).await;
    sink.end().await;
    if is_good {
        Ok(())
    } else {
        Err(anyhow!("not every message arrived; {} says why", log.display()).into())
    }
}

/// A sink that runs beside the relay.
struct Sink {
    address: std::net::SocketAddr,
    messages: Receiver<::sink::Message>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Sink {
    fn start(quickstart: &Quickstart) -> Result<Self> {
        let options = ::sink::Options {
            address: quickstart.sink,
            keep: ::sink::Keep::Memory,
            ..::sink::Options::default()
        };
        let sink = ::sink::Sink::bind(options, Clock::system()).with_context(|| {
            format!("the sink cannot listen on {}; is another one running?", quickstart.sink)
        })?;
        let address = sink.address().context("the sink has no address")?;
        let (messages_in, messages) = channel::bounded(MESSAGES_MAX);
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(sink.run(messages_in, stopped));
        Ok(Self { address, messages, stop, running })
    }

    async fn end(self) {
        self.stop.send_replace(true);
        if self.running.await.is_err() {
            output::note("the sink broke");
        }
    }
}

/// Sends all samples and waits until the sink has them; says whether it got every one as it was sent.
async fn passed(samples: &mut [Sample], relay: &Running, sink: &mut Sink) -> Result<bool> {
    let listener = relay.listeners().first().context("the relay has no listener")?;
    let connectors = Connectors::open(&tls::client::Config::default()).context("TLS")?;
    let bar = ProgressBar::new(samples.len() as u64 * 2);
    bar.set_style(
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message("sending");
    for sample in &mut *samples {
        sample.send(listener.address, &connectors).await;
        bar.inc(1);
    }
    bar.set_message("waiting for outcomes");
    let arrived = async {
        while samples.iter().any(Sample::is_on_its_way) {
            let Ok(message) = sink.messages.recv().await else { break };
            if samples.iter_mut().any(|sample| sample.takes(&message)) {
                bar.inc(1);
            }
        }
        // The outcome reaches the queue a moment after the sink's reply.
        while !matches!(relay.queued().await, Some(0) | None) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = timeout(OUTCOMES_WAIT_MAX, arrived).await.is_ok();
    bar.finish_and_clear();
    Ok(in_time && samples.iter().all(Sample::is_good))
}

fn try_next(quickstart: &Quickstart, relay: &Running, sink: &Sink, log: &Path) -> String {
    let config = quickstart.config.display();
    let program = std::env::current_exe().unwrap_or_else(|_| "chasqui".into());
    let here = std::env::current_dir().unwrap_or_default();
    let program = program.strip_prefix(&here).unwrap_or(&program).display().to_string();
    let server = relay.listeners().first().map(|listener| listener.address.to_string());
    let server = server.unwrap_or_default();
    let mut lines = vec![String::new()];
    for listener in relay.listeners() {
        lines.push(format!("relay      {} ({})", listener.address, listener.name));
    }
    lines.push(format!("sink       {}", sink.address));
    if let Some(address) = relay.admin_address() {
        lines.push(format!("metrics    http://{address}/metrics"));
    }
    lines.push(format!("control    {}", relay.admin_socket().display()));
    lines.push(format!("log        {}", log.display()));
    lines.push("\nTry next, in another terminal:".to_owned());
    lines.push(format!("  {program} status --config {config}"));
    lines.push(format!(
        "  {program} send --server {server} --from you@example.org --to friend@example.net {}/01-plain.eml",
        quickstart.samples.display()
    ));
    lines.push(format!("  {program} queue list --config {config}"));
    lines.join("\n")
}

/// Tells what the sink gets until somebody wants an end.
async fn stay(relay: &mut Running, sink: &mut Sink, signals: &mut Signals) -> Result {
    loop {
        tokio::select! {
            wish = signals.next() => if wish == Wish::Stop { return Ok(()) },
            name = relay.broken() => return Err(anyhow!("{name} ended that should not").into()),
            message = sink.messages.recv() => match message {
                Ok(message) => output::line(format!("the sink took {}", crate::commands::sink::words(&message)))?,
                Err(channel::Closed) => return Ok(()),
            },
        }
    }
}
