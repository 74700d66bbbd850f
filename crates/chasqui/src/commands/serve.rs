//! `chasqui serve`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use settings::Loaded;
use units::Clock;

use crate::arguments::Serve;
use crate::failure::Result;
use crate::reach::service_runtime;
use crate::relay::Operated;
use crate::running::Running;
use crate::signals::{Signals, Wish};
use crate::wire;
use crate::{descriptors, log, look, notify, ready};

/// Does it.
pub(crate) fn run(serve: &Serve) -> Result {
    // What is wrong with certificates is a fault of the settings, and no reason to start again and again.
    let Loaded { settings, made: policy, odd } =
        settings::load_and_make(&serve.config, look::all, look::odd)?;
    let _log = log::start(&settings.log, None)?;
    for warning in odd.iter().flat_map(settings::Problems::lines) {
        tracing::warn!(warning, "settings are odd");
    }
    descriptors::raise(&settings);
    let runtime = service_runtime(settings.runtime.threads)?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be listened to")?;
        let file = Some(serve.config.clone());
        let mut relay = wire::start((settings, policy), file, Clock::system()).await?;
        announce(serve, &relay)?;
        let ended = wait(&mut relay, &mut signals).await;
        notify::stopping();
        // A second signal asks to end at once.
        relay.stop(signals.stop()).await;
        tracing::info!("relay stopped");
        ended
    });
    // What still blocks, such as a look-up of the system's, must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Says that everything accepts: to the log, to whoever reads the ready file, to the service manager.
fn announce(serve: &Serve, relay: &Running) -> Result {
    for listener in relay.listeners() {
        tracing::info!(listener = %listener.name, address = %listener.address, "listener accepts");
    }
    let (socket, http) = (relay.admin_socket().clone(), relay.admin_address());
    tracing::info!(
        socket = %socket.display(),
        http = http.map(tracing::field::display),
        version = env!("CARGO_PKG_VERSION"),
        "relay started"
    );
    if let Some(path) = &serve.ready_file {
        let admin = ready::Admin { socket, http };
        let listeners = relay.listeners().to_vec();
        ready::write(path, &ready::Ready { listeners, admin, pid: std::process::id() })?;
    }
    notify::ready("taking mail");
    Ok(())
}

/// Waits for the end of the relay, keeping the service manager's watchdog content.
async fn wait(relay: &mut Running, signals: &mut Signals) -> Result {
    let watched = watch(Arc::clone(relay.relay()));
    tokio::pin!(watched);
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop => return Ok(()),
                // The log says what came of it.
                Wish::Reload => drop(relay.relay().reloading.reload().await),
            },
            name = relay.broken() => {
                tracing::error!(part = name, "a part ended that should not");
                return Err(anyhow!("{name} ended that should not; the log says why").into());
            }
            () = &mut watched => {}
        }
    }
}

/// Tells the watchdog that the queue answers, for as long as it does.
async fn watch(relay: Arc<Operated>) {
    let Some(interval) = notify::watchdog_interval() else {
        return std::future::pending().await;
    };
    loop {
        if relay.answers(interval).await {
            notify::alive();
        } else {
            tracing::error!("queue does not answer");
        }
        tokio::time::sleep(interval).await;
    }
}
