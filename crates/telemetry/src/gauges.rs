//! Gauges of what comes and goes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use metrics::Gauge;

use crate::registry::Registry;

/// `N` gauges for each value of a label, such as the connectors that have limits by now: what is shown no more reads 0.
pub struct Gauges<const N: usize> {
    registry: Arc<Registry>,
    label: &'static str,
    /// Name and sentence of each.
    families: [(&'static str, &'static str); N],
    by_value: HashMap<Box<str>, [Gauge; N]>,
}

impl<const N: usize> Gauges<N> {
    /// None yet. Values of the label come from closed sets, as those of the settings, never from the wire.
    pub fn new(
        registry: &Arc<Registry>,
        label: &'static str,
        families: [(&'static str, &'static str); N],
    ) -> Self {
        Self { registry: Arc::clone(registry), label, families, by_value: HashMap::new() }
    }

    /// Shows what there is, and nothing else.
    pub fn show<'a>(&mut self, all: impl IntoIterator<Item = (&'a str, [u64; N])>) {
        let mut gone = std::mem::take(&mut self.by_value);
        for (value, counts) in all {
            let (value, gauges) =
                gone.remove_entry(value).unwrap_or_else(|| (value.into(), self.register(value)));
            set(&gauges, counts);
            self.by_value.insert(value, gauges);
        }
        for gauges in gone.values() {
            set(gauges, [0; N]);
        }
    }

    fn register(&self, value: &str) -> [Gauge; N] {
        self.families.map(|(name, help)| self.registry.gauge(name, help, &[(self.label, value)]))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "there are far less than 2^52 of anything"
)]
fn set<const N: usize>(gauges: &[Gauge; N], counts: [u64; N]) {
    for (gauge, count) in gauges.iter().zip(counts) {
        gauge.set(count as f64);
    }
}

impl<const N: usize> fmt::Debug for Gauges<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Gauges({:?} of {} values)",
            self.families.map(|(name, _)| name),
            self.by_value.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_no_more_reads_0_until_it_comes_back() {
        let registry = Arc::new(Registry::new());
        let families = [("a_messages", "Messages."), ("a_full", "1 while it is full.")];
        let mut gauges = Gauges::new(&registry, "connector", families);
        let mut check = |shown: &[(&str, [u64; 2])], want: [&str; 4]| {
            gauges.show(shown.iter().copied());
            let text = registry.render();
            let mut lines: Vec<_> = text.lines().filter(|line| line.contains('{')).collect();
            lines.sort_unstable();
            assert_eq!(lines, want);
        };
        let [one, two] = [("one", [7, 1]), ("two", [3, 0])];
        let all = [
            "chasqui_a_full{connector=\"one\"} 1",
            "chasqui_a_full{connector=\"two\"} 0",
            "chasqui_a_messages{connector=\"one\"} 7",
            "chasqui_a_messages{connector=\"two\"} 3",
        ];
        let without_one = [
            "chasqui_a_full{connector=\"one\"} 0",
            "chasqui_a_full{connector=\"two\"} 0",
            "chasqui_a_messages{connector=\"one\"} 0",
            "chasqui_a_messages{connector=\"two\"} 3",
        ];
        check(&[one, two], all);
        check(&[two], without_one);
        check(&[two], without_one);
        check(&[two, one], all);
    }
}
