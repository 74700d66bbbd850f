//! One line per event, for people or for machines.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::log::event::{Fields, Shape, quoted};

/// Time, level, what happened, and the facts as `name=value`.
#[derive(Debug)]
pub(crate) struct Human;

/// One JSON object: `timestamp`, `level`, `event`, the facts, `target`.
#[derive(Debug)]
pub(crate) struct Json;

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let is_bold = out.has_ansi_escapes();
        SystemTime.format_time(&mut out)?;
        if is_bold {
            write!(out, " {}{level:>5}\x1b[0m", colour(level))?;
        } else {
            write!(out, " {level:>5}")?;
        }
        let mut fields = Fields::new(&mut out, Shape::Human { is_bold });
        event.record(&mut fields);
        fields.result()?;
        writeln!(out)
    }
}

const fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        out.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut out)?;
        write!(out, "\",\"level\":\"{}\"", event.metadata().level())?;
        let mut fields = Fields::new(&mut out, Shape::Json);
        event.record(&mut fields);
        fields.result()?;
        out.write_str(",\"target\":")?;
        quoted(&mut out, event.metadata().target())?;
        out.write_str("}\n")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::dispatcher::with_default;
    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said() {
        let error = io::Error::other("gone\r\nforged");
        tracing::info!(
            message = %"06fz",
            tries = 2,
            reply = "250 ok",
            error = &error as &(dyn std::error::Error + 'static),
            "outcome"
        );
    }

    fn line(subscriber: impl FnOnce(Lines) -> tracing::Dispatch) -> String {
        let lines = Lines::default();
        with_default(&subscriber(lines.clone()), said);
        let octets = lines.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn people_read_names_and_values() {
        let line = line(|lines| {
            let builder = fmt().with_ansi(false).event_format(Human);
            builder.with_writer(move || lines.clone()).into()
        });
        let (_, rest) = line.split_once(' ').unwrap();
        assert_eq!(
            rest,
            " INFO outcome message=06fz tries=2 reply=\"250 ok\" error=gone??forged\n"
        );
    }

    #[test]
    fn machines_read_one_object_with_each_name_once() {
        let line = line(|lines| fmt().event_format(Json).with_writer(move || lines.clone()).into());
        let (_, rest) = line.split_once(",\"level\"").unwrap();
        assert_eq!(
            rest,
            ":\"INFO\",\"event\":\"outcome\",\"message\":\"06fz\",\"tries\":2,\"reply\":\"250 ok\",\"error\":\"gone??forged\",\"target\":\"chasqui::log::lines::tests\"}\n"
        );
    }
}
