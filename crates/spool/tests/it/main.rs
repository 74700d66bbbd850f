//! The spool over a real RocksDB in temporary folders.

mod check;
mod content;
mod corruption;
mod faults;
mod groups;
mod limits;
mod recovery;
mod support;
