//! What the program itself counts.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use settings::Settings;
use telemetry::{Counter, Gauge, Registry};
use units::Clock;

/// Handles of the metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    config_hash: Arc<Mutex<String>>,
    reloaded: Counter,
    not_reloaded: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Metrics")
    }
}

impl Metrics {
    /// Registers them, and says what runs: version, settings, since when.
    pub(crate) fn register(registry: &Arc<Registry>, settings: &Settings, clock: &Clock) -> Self {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.gauge("build_info", "The version that runs; always 1.", &version).set(1.0);
        let config_hash = Arc::new(Mutex::new(hash(settings)));
        hash_gauge(registry, &config_hash.lock()).set(1.0);
        let seconds = Duration::from_millis(clock.unix_millis()).as_secs_f64();
        let started = "When the relay started, in seconds since 1970.";
        registry.gauge("start_time_seconds", started, &[]).set(seconds);
        let reloads = |result| {
            let sentence = "Reloads by whether settings, certificates, keys and accounts could all be read again; old ones stay in use.";
            registry.counter("config_reload_total", sentence, &[("result", result)])
        };
        let registry = Arc::clone(registry);
        Self { registry, config_hash, reloaded: reloads("ok"), not_reloaded: reloads("failed") }
    }

    /// These settings are in effect now.
    pub(crate) fn in_force(&self, settings: &Settings) {
        let (new, mut shown) = (hash(settings), self.config_hash.lock());
        if *shown != new {
            hash_gauge(&self.registry, &shown).set(0.0);
            hash_gauge(&self.registry, &new).set(1.0);
            *shown = new;
        }
    }

    /// All certificates and accounts were read again.
    pub(crate) fn reloaded(&self) {
        self.reloaded.increment(1);
    }

    /// Some certificate, or the accounts, could not be read again.
    pub(crate) fn not_reloaded(&self) {
        self.not_reloaded.increment(1);
    }
}

fn hash_gauge(registry: &Registry, hash: &str) -> Gauge {
    const SENTENCE: &str = "A hash of the settings in effect, the same wherever they are the same; 1, or 0 for those before a reload.";
    registry.gauge("config_hash_info", SENTENCE, &[("hash", hash)])
}

/// Eight hexadecimal digits that depend on every setting, and on nothing else.
fn hash(settings: &Settings) -> String {
    // What cannot be printed could not have been read.
    let text = settings::to_toml(settings).unwrap_or_default();
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_the_settings_alone() {
        let settings = |text: &str| settings::parse(text, std::path::Path::new("x")).unwrap();
        let text = "hostname = \"a.example\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n[[outbound]]\nname = \"a\"\n";
        let first = hash(&settings(text));
        assert_eq!(first.len(), 8);
        // Comments and defaults that are written out change nothing.
        let same = format!("# Words.\n{text}[log]\nlevel = \"info\"\n");
        assert_eq!(hash(&settings(&same)), first);
        assert_ne!(hash(&settings(&format!("{text}[log]\nlevel = \"warn\"\n"))), first);
    }
}
