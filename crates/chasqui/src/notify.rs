//! What the service manager is told (`sd_notify(3)`); nothing when there is none.

use std::time::Duration;

use sd_notify::NotifyState;

/// The relay accepts mail.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The relay is ending.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("ending open transactions")]);
}

/// The relay makes progress.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the service manager wants to hear that the relay makes progress, halved for safety.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|interval| interval / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "service manager not told");
    }
}
