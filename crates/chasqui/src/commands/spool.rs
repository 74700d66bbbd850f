//! `chasqui spool`.

use crate::arguments::{Spool, SpoolCheck};
use crate::failure::Result;

/// Does it.
pub(crate) fn run(spool: &Spool) -> Result {
    match spool {
        Spool::Check(check) => self::check(check),
    }
}

fn check(check: &SpoolCheck) -> Result {
    let _path = match &check.path {
        Some(path) => path.clone(),
        None => settings::load(&check.config)?.spool.path,
    };
    Ok(())
}
