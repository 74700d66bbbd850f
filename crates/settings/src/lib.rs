//! One TOML file and a folder of connectors, read, checked as a whole, and handed on as each crate's `Config`.
//!
//! **Takes** a path. **Gives** [`Settings`], or everything that is wrong with the files, each with line, column, key
//! and what to do; the schema and the text of settings. **Never** opens anything but those files; holds no setting
//! that a service could hold itself. TOML 1.1.

mod check;
mod edit;
mod endpoint;
pub mod exchange;
mod file;
mod finding;
mod known;
mod load_error;
mod nearest;
mod problem;
mod read;
mod sections;
mod settings;
mod sources;
mod tree;
mod words;

pub use edit::{
    EditError, Effective, KeyEdit, Plan, apply_edits, connectors, edit_keys, effective, fields,
    own, plan,
};
pub use file::{Loaded, load, load_and_make, parse, schema, to_toml};
pub use finding::Finding;
pub use load_error::LoadError;
pub use problem::{Problem, Problems};
pub use sections::{Log, LogFormat, LogLevel, Runtime, Stop};
pub use settings::Settings;
