//! Bars on a terminal: how many messages are accepted, and how many recipients have theirs.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::scenario::Scenario;
use crate::timeline::Watch;

/// Whether there is anybody to show bars to. Without a terminal nothing is shown either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Shown,
    Hidden,
}

/// The bars of one run.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    updates: JoinHandle<()>,
}

const STYLE: &str = "{prefix:>28} {bar:40} {pos:>8}/{len} {msg} {per_sec:>14}";
const PAUSE: Duration = Duration::from_millis(100);

impl Progress {
    /// Bars for a run against `relay`; they move as `watch` does.
    pub(crate) fn of(
        self,
        runtime: &Runtime,
        scenario: &Scenario,
        relay: &str,
        watch: &Arc<Watch>,
    ) -> Bars {
        let target = match self {
            Self::Shown => ProgressDrawTarget::stderr(),
            Self::Hidden => ProgressDrawTarget::hidden(),
        };
        let all = MultiProgress::with_draw_target(target);
        let bar = |prefix: String, what: &'static str| {
            let style = ProgressStyle::with_template(STYLE);
            let bar = ProgressBar::new(scenario.load.messages)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            all.add(bar.with_prefix(prefix).with_message(what))
        };
        let accepted = bar(format!("{} {relay}", scenario.name), "accepted ");
        let delivered = bar(String::new(), "delivered");
        let watch = Arc::clone(watch);
        let updates = runtime.spawn(async move {
            loop {
                accepted.set_position(watch.accepted());
                // A message may have many recipients.
                delivered.set_length(accepted.length().unwrap_or_default().max(watch.delivered()));
                delivered.set_position(watch.delivered());
                tokio::time::sleep(PAUSE).await;
            }
        });
        Bars { all, updates }
    }
}

impl Bars {
    /// Takes the bars away.
    pub(crate) fn finish(self) {
        self.updates.abort();
        // A terminal that is gone needs no cleaning.
        self.all.clear().ok();
    }
}
