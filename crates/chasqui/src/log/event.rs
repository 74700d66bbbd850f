//! One event as its fields: the constant text first, then the facts, free of control characters.

use std::error::Error;
use std::fmt;

use serde_json::Value;
use tracing::Event;
use tracing::field::{Field, Visit};

/// The fields of an event, in the order in which they were written down.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// What happened: the same words each time.
    pub(crate) event: String,
    /// The facts.
    pub(crate) facts: Vec<(&'static str, Value)>,
}

impl Fields {
    /// Those of `event`.
    pub(crate) fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn add(&mut self, field: &Field, value: Value) {
        // tracing calls the text `message` too; it always is the first field, a message's id never is.
        if field.index() == 0 && field.name() == "message" {
            self.event = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.facts.push((field.name(), value));
        }
    }
}

/// A text without control characters, so that nobody forges a line.
fn plain(text: &str) -> Value {
    Value::String(text.replace(char::is_control, "?"))
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, plain(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(this) = cause {
            text.extend([": ", &this.to_string()]);
            cause = this.source();
        }
        self.add(field, plain(&text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, plain(&format!("{value:?}")));
    }
}
