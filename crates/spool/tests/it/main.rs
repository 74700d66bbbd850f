//! The spool over a real RocksDB in temporary folders.

#[cfg(test)]
mod check;
#[cfg(test)]
mod content;
#[cfg(test)]
mod corruption;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod support;
