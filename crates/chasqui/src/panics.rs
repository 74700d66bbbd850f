//! What is done about panics: each leaves a log line. The service whose task it was counts it.

use std::backtrace::Backtrace;

/// Logs panics from now on. A panic in a connection's task ends that connection only; one in the queue
/// or the spool ends the process, since their state can no longer be trusted.
pub(crate) fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let words = panic.payload_as_str().unwrap_or("no words");
        let backtrace = Backtrace::capture();
        tracing::error!(error = %words, %place, %backtrace, "panic");
    }));
}
