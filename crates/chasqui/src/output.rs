//! What commands print: tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Result;

/// Writes a line on standard output. A reader that went away, as `head` does, is no error.
pub(crate) fn line(text: impl AsRef<str>) -> Result {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n")) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output takes no more")?
        }
        _ => Ok(()),
    }
}

/// Writes a line on standard error, where it does not mix with what a program reads.
pub(crate) fn note(text: impl AsRef<str>) {
    let mut out = io::stderr().lock();
    // When even this fails, there is nobody left to tell.
    drop(out.write_all(text.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n")));
}

/// Writes a value as JSON: indented for a terminal, one line for a program.
pub(crate) fn json<T: Serialize>(value: &T) -> Result {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    line(text.context("the answer cannot be printed")?)
}

/// A table with these columns.
pub(crate) fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.map(Cell::new));
    table
}

/// A text that a stranger made up, as a terminal may have it.
pub(crate) fn printable(text: &str) -> String {
    telemetry::shown(text, 1000)
}

/// A count of octets as people read it.
pub(crate) fn octets(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let steps = (count.max(1).ilog2() / 10).min(4);
    let whole = count >> (10 * steps);
    let unit = UNITS.get(steps as usize).copied().unwrap_or("B");
    if steps == 0 || whole >= 10 {
        return format!("{whole} {unit}");
    }
    let tenths = ((count >> (10 * (steps - 1))) & 1023) * 10 / 1024;
    format!("{whole}.{tenths} {unit}")
}

/// A span of seconds as people read it: its two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_short_figures() {
        for (count, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            ((3 << 30) - 1, "2.9 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(octets(count), want);
        }
        for (seconds, want) in [(0, "0s"), (61, "1m 1s"), (7260, "2h 1m"), (90_000, "1d 1h")] {
            assert_eq!(span(seconds), want);
        }
    }
}
