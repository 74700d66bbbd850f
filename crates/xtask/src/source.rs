//! The sources of the workspace, without their tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Names of what it depends on, tests excepted.
    pub(crate) uses: Vec<String>,
    /// Names of what only its tests depend on.
    pub(crate) tests_use: Vec<String>,
}

impl Package {
    /// Whether it is one of the crates that make the product, and so stands in the layer table.
    pub(crate) fn is_crate(&self) -> bool {
        self.folder.starts_with(root().join("crates"))
    }

    /// Its Rust files.
    pub(crate) fn files(&self) -> Result<Vec<File>> {
        let mut files = Vec::new();
        let folder = self.folder.join("src");
        if folder.is_dir() {
            walk(&folder, &folder, &mut files)?;
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

/// One Rust file.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path below the package's `src`.
    pub(crate) path: PathBuf,
    /// Its text up to its tests.
    pub(crate) text: String,
}

fn walk(folder: &Path, base: &Path, files: &mut Vec<File>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_rust = path.extension().is_some_and(|end| end == "rs");
        if path.is_dir() {
            walk(&path, base, files)?;
        } else if is_rust && path.file_name().is_some_and(|name| name != "tests.rs") {
            let text = std::fs::read_to_string(&path)?;
            files.push(File { path: path.strip_prefix(base)?.to_owned(), text: untested(&text) });
        }
    }
    Ok(())
}

/// The text before the tests, which stand at the end of a file.
fn untested(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod ").map_or(text.len(), |at| at + 1);
    text.get(..end).unwrap_or(text).to_owned()
}

/// What cargo prints for `words`.
pub(crate) fn cargo(words: &[&str]) -> Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "cargo says so which cargo it is")]
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(words).current_dir(root()).output();
    let output = output.with_context(|| format!("cargo {} cannot be run", words.join(" ")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {}: {said}", words.join(" "));
    Ok(output.stdout)
}

/// All packages of the workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Value = serde_json::from_slice(&metadata)?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    packages.context("cargo metadata names no packages")?.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let text = |value: &Value, key: &str| -> Result<String> {
        let text = value.get(key).and_then(Value::as_str);
        Ok(text.with_context(|| format!("cargo metadata lacks {key}"))?.to_owned())
    };
    let manifest = PathBuf::from(text(value, "manifest_path")?);
    let folder = manifest.parent().context("a manifest lies in a folder")?.to_owned();
    let (mut uses, mut tests_use) = (Vec::new(), Vec::new());
    for dependency in value.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
        let is_for_tests = dependency.get("kind").and_then(Value::as_str) == Some("dev");
        let list = if is_for_tests { &mut tests_use } else { &mut uses };
        list.push(text(dependency, "name")?);
    }
    Ok(Package { name: text(value, "name")?, folder, uses, tests_use })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_at_the_end_are_cut() {
        assert_eq!(untested("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
        assert_eq!(untested("#[cfg(test)]\nuse x;\n"), "#[cfg(test)]\nuse x;\n");
    }
}
