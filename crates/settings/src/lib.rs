//! One TOML file, read, checked as a whole, and handed on as each crate's `Config`.
//!
//! **Takes** a path. **Gives** [`Settings`], or everything that is wrong with the file, each with line, column, key
//! and what to do; the schema and the text of settings. **Never** opens anything but that file; holds no setting
//! that a service could hold itself. TOML 1.1.

mod check;
mod file;
mod finding;
mod known;
mod nearest;
mod problem;
mod read;
mod sections;
mod settings;
mod tree;
mod words;

pub use file::{LoadError, load, load_and_look, parse, schema, to_toml};
pub use finding::Finding;
pub use problem::{Problem, Problems};
pub use sections::{Log, LogFormat, LogLevel, Runtime, Stop};
pub use settings::Settings;
