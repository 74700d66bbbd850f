//! What comes from outside: `deny.toml` is the law.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;
use toml::Table;

use crate::source::{cargo, root};
use crate::tidy::licences::is_met;

/// The parts of `deny.toml` that are held against the lock file.
#[derive(Debug)]
struct Law {
    licences: BTreeSet<String>,
    registries: BTreeSet<String>,
    banned: BTreeSet<String>,
}

impl Law {
    fn read(text: &str) -> Result<Self> {
        let table: Table = text.parse().context("deny.toml")?;
        let list = |section: &str, key: &str| {
            let list = table.get(section).and_then(|section| section.get(key)?.as_array());
            list.with_context(|| format!("deny.toml lacks {section}.{key}"))
        };
        let texts = |list: &[toml::Value]| -> BTreeSet<String> {
            list.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        let banned = list("bans", "deny")?.iter().map(|ban| {
            let name = ban.get("crate").and_then(toml::Value::as_str);
            name.map(str::to_owned).context("deny.toml: a ban names no crate")
        });
        Ok(Self {
            licences: texts(list("licenses", "allow")?),
            registries: texts(list("sources", "allow-registry")?),
            banned: banned.collect::<Result<_>>()?,
        })
    }

    /// What is wrong with a package of `cargo metadata`, if anything is.
    fn fault(&self, package: &Value) -> Option<String> {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let name = text("name").unwrap_or_default();
        let is_ours =
            text("manifest_path").is_some_and(|path| root().join(path).starts_with(root()));
        let is_known = match text("source") {
            Some(source) => {
                source.strip_prefix("registry+").is_some_and(|it| self.registries.contains(it))
            }
            None => is_ours,
        };
        if !is_known {
            return Some(format!("{name} comes from a place that deny.toml does not allow"));
        }
        match text("license") {
            Some(licence) if is_met(licence, &self.licences) => None,
            Some(licence) => Some(format!("{name} has the licence {licence}; see deny.toml")),
            None => Some(format!("{name} names no licence")),
        }
    }

    /// The banned ones among the lines of `cargo tree`.
    fn banned(&self, tree: &str) -> Vec<String> {
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        let banned: BTreeSet<&str> = names.filter(|name| self.banned.contains(*name)).collect();
        let fault = |name: &str| {
            format!("{name} is in the program, and banned by deny.toml; ask `cargo tree -i {name}`")
        };
        banned.into_iter().map(fault).collect()
    }
}

/// Packages for this platform that may not be there.
pub(crate) fn faults() -> Result<Vec<String>> {
    let law = Law::read(&std::fs::read_to_string(root().join("deny.toml"))?)?;
    let version = String::from_utf8(cargo(&["-vV"])?)?;
    let platform = version.lines().find_map(|line| line.strip_prefix("host: "));
    let platform = platform.context("cargo does not name this platform")?;
    let metadata =
        cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", platform])?;
    let metadata: Value = serde_json::from_slice(&metadata)?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.context("cargo metadata names no packages")?;
    let mut faults: Vec<_> = packages.iter().filter_map(|package| law.fault(package)).collect();
    // The metadata also name what only a feature that nobody turned on would bring; the tree does not.
    let words = ["tree", "--locked", "--package", "chasqui", "--edges", "normal"];
    let tree = cargo(&[&words[..], &["--prefix", "none", "--format", "{p}"]].concat())?;
    faults.extend(law.banned(&String::from_utf8(tree)?));
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LAW: &str = "\
[licenses]
allow = [\"MIT\"]
[bans]
deny = [{ crate = \"ring\", reason = \"words\" }, { crate = \"native-tls\" }]
[sources]
allow-registry = [\"https://here\"]
";

    #[track_caller]
    fn check(licence: Option<&str>, source: Option<&str>, folder: &str, want: Option<&str>) {
        let manifest = root().join(folder).join("Cargo.toml");
        let package = json!({ "name": "it", "license": licence, "source": source, "manifest_path": manifest });
        assert_eq!(Law::read(LAW).unwrap().fault(&package).as_deref(), want);
    }

    #[test]
    fn licences_and_sources_are_those_of_the_law() {
        let away = Some("it comes from a place that deny.toml does not allow");
        check(Some("MIT"), Some("registry+https://here"), "/x", None);
        check(Some("MIT"), None, "crates/it", None);
        check(Some("MIT"), None, "/x", away);
        check(Some("MIT"), Some("registry+https://there"), "/x", away);
        check(Some("MIT"), Some("git+https://here"), "/x", away);
        let licence = Some("it has the licence ISC; see deny.toml");
        check(Some("ISC"), Some("registry+https://here"), "/x", licence);
        check(None, Some("registry+https://here"), "/x", Some("it names no licence"));
    }

    #[test]
    fn banned_packages_are_found_by_their_whole_names() {
        let law = Law::read(LAW).unwrap();
        assert!(law.banned("chasqui v1 (/x)\nstring v1\nring-like v1\n").is_empty());
        let faults =
            law.banned("chasqui v1 (/x)\nring v0.17.14\nring v0.17.14 (*)\nnative-tls v0.2\n");
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("native-tls ") && faults[1].starts_with("ring "));
    }

    #[test]
    fn a_law_with_a_hole_is_refused() {
        for key in ["allow = ", "deny = ", "allow-registry = "] {
            assert!(Law::read(&LAW.replace(key, "other = ")).is_err(), "{key}");
        }
    }
}
