//! The layer table of docs/architecture.md is the law.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use crate::source::Package;

/// The highest layer that tests of any crate may use.
const TESTS_LAYER_MAX: u8 = 2;
/// What tests of any crate may use besides.
const TESTKIT: &str = "testkit";

/// The table.
#[derive(Debug)]
pub(crate) struct Layers(BTreeMap<String, Row>);

#[derive(Debug)]
struct Row {
    /// None for what stands beside the layers.
    layer: Option<u8>,
    /// None for anything.
    may_use: Option<BTreeSet<String>>,
}

impl Layers {
    /// Finds the table in the document.
    pub(crate) fn read(document: &str) -> Result<Self> {
        let mut rows = BTreeMap::new();
        for line in document.lines() {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let ["", layer, name, _, may_use, ""] = cells.as_slice() else { continue };
            let (layer, name) = (layer.parse().ok(), name.trim_matches('`'));
            if line.contains('`') {
                rows.insert(name.to_owned(), Row { layer, may_use: names(may_use) });
            }
        }
        ensure!(!rows.is_empty(), "docs/architecture.md has no layer table");
        Ok(Self(rows))
    }

    fn layer(&self, name: &str) -> Option<u8> {
        self.0.get(name).and_then(|row| row.layer)
    }

    fn allows(&self, row: &Row, used: &str) -> bool {
        let is_listed = row.may_use.as_ref().is_none_or(|names| names.contains(used));
        let goes_down = match (row.layer, self.layer(used)) {
            (Some(user), Some(used)) => used < user,
            (Some(_), None) => false,
            (None, _) => true,
        };
        is_listed && goes_down
    }
}

fn names(cell: &str) -> Option<BTreeSet<String>> {
    match cell {
        "anything" | "every crate above" => None,
        "–" => Some(BTreeSet::new()),
        _ => Some(
            cell.split([' ', ',']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        ),
    }
}

/// Arrows that the table does not allow, crates that it lacks, rows without a crate.
pub(crate) fn faults(layers: &Layers, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for package in packages.iter().filter(|package| package.is_crate()) {
        let name = &package.name;
        let Some(row) = layers.0.get(name) else {
            faults.push(format!("{name} is not in the layer table of docs/architecture.md"));
            continue;
        };
        for used in package.uses.iter().filter(|used| ours.contains(used.as_str())) {
            if !layers.allows(row, used) {
                faults.push(format!("{name} may not use {used}"));
            }
        }
        for used in package.tests_use.iter().filter(|used| ours.contains(used.as_str())) {
            let is_low = layers.layer(used).is_some_and(|layer| layer <= TESTS_LAYER_MAX);
            if !is_low && used != TESTKIT && !layers.allows(row, used) {
                faults.push(format!("tests of {name} may not use {used}"));
            }
        }
    }
    let missing = layers.0.keys().filter(|name| !ours.contains(name.as_str()));
    faults.extend(missing.map(|name| format!("the layer table names {name}, which is not there")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
| L | crate | one line | may use |
|---|---|---|---|
| 0 | `mail` | nouns | – |
| 1 | `policy` | rules | mail |
| 1 | `dsn` | reports | mail policy |
| 2 | `queue` | queue | policy |
| – | `xtask` | tools | anything |
";

    #[track_caller]
    fn check(name: &str, uses: &[&str], tests_use: &[&str], want: &[&str]) {
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let package = |name: &str, uses: &[&str], tests_use: &[&str]| Package {
            name: name.to_owned(),
            folder: crate::source::root().join("crates").join(name),
            uses: owned(uses),
            tests_use: owned(tests_use),
        };
        let mut packages: Vec<_> = ["mail", "policy", "dsn", "queue", "xtask"]
            .iter()
            .filter(|other| **other != name)
            .map(|name| package(name, &[], &[]))
            .collect();
        packages.push(package(name, uses, tests_use));
        assert_eq!(faults(&Layers::read(TABLE).unwrap(), &packages), want);
    }

    #[test]
    fn arrows_go_down_and_are_listed() {
        check("queue", &["policy", "tokio"], &["mail"], &[]);
        check("queue", &["mail"], &[], &["queue may not use mail"]);
        check(
            "policy",
            &["queue"],
            &["xtask"],
            &["policy may not use queue", "tests of policy may not use xtask"],
        );
        check("dsn", &["policy"], &[], &["dsn may not use policy"]);
        check("xtask", &["queue"], &[], &[]);
        check("new", &[], &[], &["new is not in the layer table of docs/architecture.md"]);
    }
}
