//! The commands, one file each.

pub(crate) mod compare;
pub(crate) mod fetch;
pub(crate) mod list;
pub(crate) mod options;
pub(crate) mod run;
pub(crate) mod sink;
pub(crate) mod source;
