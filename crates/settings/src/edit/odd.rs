//! What an edit makes odd, or leaves odd of what it touches.

use std::collections::BTreeSet;
use std::path::Path;

use admin::view::{Change, Direction};

use crate::check::warn;
use crate::file::sorted;
use crate::finding::Finding;
use crate::problem::Problems;
use crate::read::Places;
use crate::settings::Settings;
use crate::tree::Step;

/// Settings, and where each key stands.
pub(super) type Read<'a> = (&'a Settings, &'a Places<'a>);

/// What is odd about settings by themselves, and what `look` finds besides.
fn odd(
    (settings, places): Read<'_>,
    look: impl FnOnce(&Settings) -> Vec<Finding>,
) -> impl Iterator<Item = Finding> {
    warn(settings, places).into_iter().chain(look(settings))
}

/// A line for each oddity that was none before, and for each of a connector that changes.
pub(super) fn told(
    main: &Path,
    (before, after): (Read<'_>, Read<'_>),
    changes: &[Change],
    look: impl Fn(&Settings) -> Vec<Finding>,
) -> Vec<String> {
    let known: Vec<_> = odd(before, &look).collect();
    let known: BTreeSet<_> = known.iter().map(|it| (it.key(), it.error.as_str())).collect();
    let (settings, places) = after;
    let is_told = |it: &Finding| {
        !known.contains(&(it.key(), it.error.as_str())) || is_of(changes, settings, it)
    };
    let told = odd(after, look).filter(is_told).map(|it| it.placed(places));
    let list = sorted(told.collect());
    Problems { file: main.into(), list }.lines().collect()
}

/// Whether a finding is about a connector that changes.
fn is_of(changes: &[Change], settings: &Settings, finding: &Finding) -> bool {
    let [Step::Key(section), Step::Item(number), ..] = finding.way.as_slice() else {
        return false;
    };
    let inbound = settings.inbound.get(*number).map(|it| it.name.as_str());
    let outbound = settings.outbound.get(*number).map(|it| it.name.as_str());
    changes.iter().any(|change| {
        let name = match change.direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        change.direction.name() == section && name == Some(&change.name)
    })
}
