//! What is done beside the services: their ends are watched, and things are done now and then.

use std::sync::Arc;
use std::time::Duration;

use spool::Spool;
use telemetry::Registry;
use tokio::sync::watch;

use crate::relay::Operated;

/// How often histograms are folded, so that samples do not pile up between two looks at `/metrics`.
const INTERVAL: Duration = Duration::from_secs(5);

/// Ends `service` at the latest `wait_max` after the stop.
pub(crate) async fn cut_off(
    service: impl Future<Output = ()>,
    mut stopped: watch::Receiver<bool>,
    wait_max: Duration,
) {
    let late = async {
        drop(stopped.wait_for(|stop| *stop).await);
        tokio::time::sleep(wait_max).await;
    };
    tokio::select! {
        () = service => {}
        () = late => tracing::warn!("deliveries cut off, their messages stay in the spool"),
    }
}

/// Ends before the stop only if the spool can write no more.
pub(crate) async fn broken(spool: Spool, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        () = spool.broken() => {}
    }
}

/// What is done now and then: histograms are folded, intakes shown, the keys for tokens fetched.
pub(crate) async fn upkeep(
    registry: Arc<Registry>,
    relay: Arc<Operated>,
    mut stopped: watch::Receiver<bool>,
) {
    let folding = async {
        let mut gauges = smtp_server::IntakeGauges::new(&registry);
        loop {
            gauges.show(&relay.facts.intakes.lines());
            tokio::time::sleep(INTERVAL).await;
            registry.upkeep();
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        () = folding => {}
        () = relay.logins.keep_keys_fresh() => {}
    }
}
