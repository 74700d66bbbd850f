//! No file may need itself, not even through others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use crate::source::{File, Package};
use crate::tidy::paths;

type Module = Vec<String>;

/// Circles among the files of a package, one line each.
pub(crate) fn faults(package: &Package) -> Result<Vec<String>> {
    let files = package.files()?;
    let circles = circles(&arrows(&files));
    let said = |circle: Vec<Module>| {
        let names: Vec<_> = circle.iter().map(|module| name(module)).collect();
        format!("{}: files import each other in a circle: {}", package.name, names.join(", "))
    };
    Ok(circles.into_iter().map(said).collect())
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "lib.rs".to_owned() } else { format!("{}.rs", module.join("/")) }
}

fn module(path: &Path) -> Module {
    let path = path.with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts == ["lib"] { Vec::new() } else { parts }
}

/// Which file needs which.
fn arrows(files: &[File]) -> BTreeMap<Module, BTreeSet<Module>> {
    let modules: BTreeSet<Module> = files.iter().map(|file| module(&file.path)).collect();
    files
        .iter()
        .map(|file| {
            let from = module(&file.path);
            let needs = needs(&from, &file.text, &modules);
            (from, needs)
        })
        .collect()
}

fn needs(from: &Module, text: &str, modules: &BTreeSet<Module>) -> BTreeSet<Module> {
    let is_child = |module: &&Module| module.len() == from.len() + 1 && module.starts_with(from);
    let children: Vec<&str> = modules
        .iter()
        .filter(is_child)
        .filter_map(|module| module.last())
        .map(String::as_str)
        .collect();
    let roots = [&["crate", "super", "self"], children.as_slice()].concat();
    let paths = paths::paths(text, &roots);
    let targets = paths.iter().filter_map(|path| target(from, path, modules));
    targets.filter(|target| target != from).collect()
}

/// The file that a path leads to.
fn target(from: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let mut place = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            place.clear();
            rest = path.get(1..)?;
        }
        "self" => rest = path.get(1..)?,
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                place.pop()?;
                rest = rest.get(1..)?;
            }
        }
        _ => {}
    }
    for segment in rest {
        place.push(segment.clone());
        if !modules.contains(&place) {
            place.pop();
            break;
        }
    }
    modules.contains(&place).then_some(place)
}

/// Sets of files each of which reaches all others.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        arrows.keys().map(|from| (from, reachable(from, arrows))).collect();
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut found = Vec::new();
    for (from, reached) in &reach {
        if !reached.contains(from) || seen.contains(from) {
            continue;
        }
        let comes_back = |to: &&&Module| reach.get(**to).is_some_and(|back| back.contains(from));
        let circle: Vec<&Module> = reached.iter().filter(comes_back).copied().collect();
        seen.extend(&circle);
        found.push(circle.into_iter().cloned().collect());
    }
    found
}

fn reachable<'a>(
    from: &Module,
    arrows: &'a BTreeMap<Module, BTreeSet<Module>>,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = arrows.get(from).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(arrows.get(next).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], want: &[&str]) {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| File { path: PathBuf::from(path), text: (*text).to_owned() })
            .collect();
        let circles: Vec<_> = circles(&arrows(&files))
            .into_iter()
            .map(|circle| circle.iter().map(|module| name(module)).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(circles, want);
    }

    #[test]
    fn circles_are_found() {
        check(
            &[
                ("lib.rs", "mod a; mod b; pub use a::A;"),
                ("a.rs", "use crate::b::B;"),
                ("b.rs", ""),
            ],
            &[],
        );
        check(
            &[("lib.rs", ""), ("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::a::g() }")],
            &["a.rs b.rs"],
        );
        check(&[("lib.rs", "pub use a::A;"), ("a.rs", "use crate::B;")], &["lib.rs a.rs"]);
        check(
            &[("lib.rs", ""), ("a.rs", "mod b; use b::B;"), ("a/b.rs", "use super::A;")],
            &["a.rs a/b.rs"],
        );
        check(
            &[
                ("lib.rs", ""),
                ("a.rs", "mod b; use b::B;"),
                ("a/b.rs", "use crate::c::C;"),
                ("c.rs", ""),
            ],
            &[],
        );
    }
}
