//! One event, written down as it is visited: no field is copied twice.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write};
use std::io;

use telemetry::{Causes, garbles};
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;

thread_local! {
    /// One value at a time; kept, so that a line costs no memory of its own.
    static VALUE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// How names and values look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The text, then ` name=value`; quotes only where the end of a value could be missed.
    Human {
        /// Whether what happened stands out.
        is_bold: bool,
    },
    /// `,"event":"text"`, then `,"name":"value"`.
    Json,
}

/// Writes what happened (the first field of an event), then its facts, free of control characters.
#[derive(Debug)]
pub(crate) struct Fields<'a, 'w> {
    out: &'a mut Writer<'w>,
    shape: Shape,
    result: fmt::Result,
}

impl<'a, 'w> Fields<'a, 'w> {
    pub(crate) const fn new(out: &'a mut Writer<'w>, shape: Shape) -> Self {
        Self { out, shape, result: Ok(()) }
    }

    /// Whether all could be written.
    pub(crate) const fn result(&self) -> fmt::Result {
        self.result
    }

    fn put(&mut self, write: impl FnOnce(&mut Writer<'w>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = write(self.out);
        }
    }

    fn name(&mut self, field: &Field) {
        let (name, shape) = (field.name(), self.shape);
        self.put(|out| match shape {
            Shape::Human { .. } => write!(out, " {name}="),
            Shape::Json => write!(out, ",\"{name}\":"),
        });
    }

    fn number(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        self.put(|out| write!(out, "{value}"));
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        VALUE.with_borrow_mut(|text| {
            text.clear();
            // A value that cannot be put in words is cut where it failed.
            Plain(text).write_fmt(value).ok();
            // tracing calls the text `message` too; it always is the first field, a message's id never is.
            if field.index() == 0 && field.name() == "message" {
                let shape = self.shape;
                return self.put(|out| match shape {
                    Shape::Human { is_bold: true } => write!(out, " \x1b[1m{text}\x1b[0m"),
                    Shape::Human { is_bold: false } => write!(out, " {text}"),
                    Shape::Json => {
                        out.write_str(",\"event\":")?;
                        quoted(out, text)
                    }
                });
            }
            self.name(field);
            let is_bare = matches!(self.shape, Shape::Human { .. })
                && !text.is_empty()
                && !text.contains([' ', '"', '=']);
            self.put(|out| if is_bare { out.write_str(text) } else { quoted(out, text) });
        });
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn quoted(out: &mut Writer<'_>, text: &str) -> fmt::Result {
    serde_json::to_writer(Octets(out), text).map_err(|_| fmt::Error)
}

/// What `serde_json` writes is text, piece by piece.
struct Octets<'a, 'w>(&'a mut Writer<'w>);

impl io::Write for Octets<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(octets).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes text without control characters, so that nobody forges a line.
struct Plain<'a>(&'a mut String);

impl Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.is_ascii() && !text.bytes().any(|octet| octet.is_ascii_control()) {
            self.0.push_str(text);
        } else {
            self.0.extend(text.chars().map(|it| if garbles(it) { '?' } else { it }));
        }
        Ok(())
    }
}

impl Visit for Fields<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.number(field, value);
        } else {
            self.text(field, format_args!("{value}"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, format_args!("{}", Causes(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}
