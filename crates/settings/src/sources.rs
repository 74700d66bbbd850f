//! The texts that settings are read from: the main file, then those of the connectors' folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::load_error::LoadError;
use crate::problem::{Problem, Problems, position};
use crate::sections::ConnectorsFolder;

/// Texts that stand for what is on the device; none for a file that is to go.
pub(crate) type Changed = BTreeMap<PathBuf, Option<String>>;

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path, as it is named to people.
    pub(crate) file: PathBuf,
    /// What it says.
    pub(crate) text: String,
    /// Where it begins when all texts are counted through, so that every place has one number.
    pub(crate) start: usize,
}

/// All files, the main one first, the others by their names.
#[derive(Debug)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// The main file alone.
    pub(crate) fn one(file: &Path, text: &str) -> Self {
        Self(vec![Source { file: file.to_owned(), text: text.to_owned(), start: 0 }])
    }

    /// The main file and those of its connectors' folder, with `changed` in place of what they say.
    pub(crate) fn read(file: &Path, changed: &Changed) -> Result<Self, LoadError> {
        let main = text(file, changed)?;
        let folder = folder(file, &main);
        let mut sources = Self::one(file, &main);
        for file in files(&folder, changed)? {
            let text = text(&file, changed)?;
            let start = sources.0.last().map_or(0, |last| last.start + last.text.len() + 1);
            sources.0.push(Source { file, text, start });
        }
        Ok(sources)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// The main file.
    pub(crate) fn main(&self) -> &Path {
        self.0.first().map_or(Path::new(""), |source| &source.file)
    }

    /// The text that holds the place `octet`.
    pub(crate) fn at(&self, octet: usize) -> Option<&Source> {
        let after = self.0.partition_point(|source| source.start <= octet);
        self.0.get(after.checked_sub(1)?)
    }

    /// Says where in the files a problem is.
    pub(crate) fn place(&self, problem: Problem, span: Option<Range<usize>>) -> Problem {
        let octet = span.map(|span| span.start);
        let found = octet.and_then(|octet| Some((octet, self.at(octet)?)));
        let Some((octet, source)) = found else { return problem };
        let file = (!self.is_main(source)).then(|| source.file.as_path().into());
        let position = position(&source.text, octet.saturating_sub(source.start));
        Problem { file, position: Some(position), ..problem }
    }

    /// Whether it is the main file.
    pub(crate) fn is_main(&self, source: &Source) -> bool {
        self.0.first().is_some_and(|first| first.file == source.file)
    }
}

/// The connectors' folder of the main file, which says `text`.
pub(crate) fn folder(main: &Path, text: &str) -> PathBuf {
    let (root, _) = DeTable::parse_recoverable(text);
    let named = root.get_ref().get("connectors_folder");
    let named = named.and_then(|value| value.get_ref().as_str().map(PathBuf::from));
    let named = named.unwrap_or_else(|| ConnectorsFolder::default().0);
    main.parent().unwrap_or_else(|| Path::new("")).join(named)
}

/// What counts in the folder: `*.toml`, nothing hidden. A folder that is not there holds nothing.
fn files(folder: &Path, changed: &Changed) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { file: folder.to_owned(), source };
    let mut found = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                found.push(entry.map_err(unreadable)?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(error)),
    }
    let is_gone = |file: &PathBuf| matches!(changed.get(file), Some(None));
    let is_new = |file: &&PathBuf| file.parent() == Some(folder) && !is_gone(file);
    found.retain(|file| !is_gone(file));
    found.extend(changed.keys().filter(is_new).cloned());
    found.retain(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_toml = file.extension().is_some_and(|end| end == "toml");
        is_toml && !name.starts_with('.')
    });
    found.sort();
    found.dedup();
    Ok(found)
}

fn text(file: &Path, changed: &Changed) -> Result<String, LoadError> {
    if let Some(Some(text)) = changed.get(file) {
        return Ok(text.clone());
    }
    let unreadable = |source| LoadError::Unreadable { file: file.to_owned(), source };
    let octets = fs::read(file).map_err(unreadable)?;
    String::from_utf8(octets).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let sources = Sources::one(file, &good);
        let place = Some(good.len()..good.len());
        let problem = sources.place(Problem::new("this octet is not UTF-8"), place);
        LoadError::Wrong(Problems { file: file.into(), list: vec![problem] })
    })
}
