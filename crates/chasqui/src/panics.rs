//! What is done about panics: each leaves a log line and a count.

use std::backtrace::Backtrace;

use telemetry::{Counter, Registry};

/// Logs and counts panics from now on. A panic in a connection's task ends that connection only; one in the queue
/// or the spool ends the process, since their state can no longer be trusted.
pub(crate) fn watch(registry: &Registry) {
    let counter: Counter = registry.counter("panic_total", "Defects met that ended a task.", &[]);
    std::panic::set_hook(Box::new(move |panic| {
        counter.increment(1);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let words = panic.payload_as_str().unwrap_or("no words");
        let backtrace = Backtrace::capture();
        tracing::error!(error = %words, %place, %backtrace, "panic");
    }));
}
