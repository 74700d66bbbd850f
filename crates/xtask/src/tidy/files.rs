//! Size, headers and lints.

use anyhow::Result;

use crate::source::{File, Package};

const LINES_MAX: usize = 500;
const HEADER_WORDS: [&str; 4] = ["//! ", "**Takes**", "**Gives**", "**Never**"];

/// Files that are too long, lack their header or go without the workspace's lints.
pub(crate) fn faults(package: &Package) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let name = &package.name;
    let manifest = std::fs::read_to_string(package.folder.join("Cargo.toml"))?;
    if !manifest.contains("[lints]\nworkspace = true") {
        faults.push(format!("{name}/Cargo.toml lacks `[lints] workspace = true`"));
    }
    for file in package.files()? {
        let lines = file.text.lines().count();
        let is_generated = file.path.components().any(|part| part.as_os_str() == "generated");
        if lines > LINES_MAX && !is_generated {
            let path = file.path.display();
            faults.push(format!(
                "{name}/src/{path} has {lines} lines without its tests; {LINES_MAX} are the limit"
            ));
        }
        if file.path.file_name().is_some_and(|name| name == "mod.rs") {
            let path = file.path.display();
            faults.push(format!("{name}/src/{path}: write foo.rs beside foo/, not mod.rs"));
        }
        if package.is_crate() && is_root(&file) {
            let header = header(&file.text);
            let missing = HEADER_WORDS.iter().filter(|word| !header.contains(**word));
            faults
                .extend(missing.map(|word| format!("{name}/src/lib.rs: the header lacks {word}")));
        }
    }
    Ok(faults)
}

fn is_root(file: &File) -> bool {
    file.path.as_os_str() == "lib.rs"
}

fn header(text: &str) -> String {
    text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n")
}
