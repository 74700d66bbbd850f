//! Changes to connectors and keys: planned, checked as a whole, then written where they belong.

mod difference;
mod document;
mod error;
mod keys;
mod odd;
mod words;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use admin::view::{Action, Change, Connector, Edit};
use toml_edit::DocumentMut;

pub(crate) use self::difference::defaults;
pub use self::difference::{Effective, effective};
use self::difference::{Listed, listed};
use self::document::{Document, Wrong};
pub use self::error::EditError;
pub use self::keys::KeyEdit;
pub use self::words::fields;
pub use self::write::own;
use crate::check::is_plain;
use crate::file::parse_and_make;
use crate::finding::Finding;
use crate::load_error::LoadError;
use crate::read::read;
use crate::settings::Settings;
use crate::sources::{Changed, Sources, folder};

/// How often a plan is made anew because somebody else changed the files meanwhile.
const TRIES_MAX: usize = 5;

/// What edits would do. Nothing is written yet.
#[derive(Debug)]
pub struct Plan<T> {
    main: PathBuf,
    /// The texts that it was made from.
    before: BTreeMap<PathBuf, String>,
    changed: Changed,
    /// What would change, connector by connector.
    pub changes: Vec<Change>,
    /// The settings afterwards.
    pub settings: Settings,
    /// What was made of them.
    pub made: T,
    /// What is odd about what changes, or is odd since: a line each.
    pub odd: Vec<String>,
}

/// Plans `edits` of the settings in the file `main`; `make` makes something of the settings afterwards, unless it finds
/// that more is wrong with them. `odd` finds what is odd about settings, before or afterwards.
///
/// # Errors
/// When an edit makes no sense or the settings would not be good: correct the edit.
pub fn plan<T>(
    main: &Path,
    edits: &[Edit],
    make: impl FnOnce(&Settings) -> Result<T, Vec<Finding>>,
    odd: impl Fn(&Settings) -> Vec<Finding>,
) -> Result<Plan<T>, EditError> {
    planned(main, (make, odd), |documents, folder| {
        edits.iter().try_for_each(|edit| apply(documents, folder, edit))
    })
}

/// Plans changes to the documents, of which new ones go into the folder that is handed on.
fn planned<T>(
    main: &Path,
    (make, odd): (
        impl FnOnce(&Settings) -> Result<T, Vec<Finding>>,
        impl Fn(&Settings) -> Vec<Finding>,
    ),
    change: impl FnOnce(&mut Vec<Document>, &Path) -> Result<(), EditError>,
) -> Result<Plan<T>, EditError> {
    let sources = Sources::read(main, &Changed::new())?;
    let before: BTreeMap<_, _> =
        sources.iter().map(|source| (source.file.clone(), source.text.clone())).collect();
    let mut documents = Vec::new();
    for source in sources.iter() {
        match source.text.parse::<DocumentMut>() {
            Ok(document) => documents.push(Document::new(source.file.clone(), document)),
            // What is wrong is said better there.
            Err(error) => {
                parse_and_make(&sources, |_| Ok(())).map_err(LoadError::from)?;
                return Err(EditError::Wrong(error.to_string()));
            }
        }
    }
    let main_text = before.get(main).map_or("", String::as_str);
    let folder = folder(main, main_text);
    change(&mut documents, &folder)?;
    let changed: Changed = documents
        .into_iter()
        .map(|document| (document.file.clone(), document.text(&folder)))
        .filter(|(file, text)| text.as_ref() != before.get(file))
        .collect();
    let after = Sources::read(main, &changed)?;
    let (settings, places, made) = parse_and_make(&after, make).map_err(LoadError::from)?;
    let (old, old_places, _) = read::<Settings>(&sources);
    let changes = difference::between(&listed(&old), &listed(&settings));
    let odd = odd::told(main, ((&old, &old_places), (&settings, &places)), &changes, odd);
    Ok(Plan { main: main.to_owned(), before, changed, changes, settings, made, odd })
}

impl<T> Plan<T> {
    /// Writes what changes, each file at once or not at all.
    ///
    /// # Errors
    /// [`EditError::Raced`] when the files are not those any more that it was made from: plan again.
    pub fn write(&self) -> Result<(), EditError> {
        let folder = self.main.parent().unwrap_or_else(|| Path::new("."));
        let _lock = write::lock(folder)?;
        let now = Sources::read(&self.main, &Changed::new())?;
        let now: BTreeMap<_, _> =
            now.iter().map(|source| (source.file.clone(), source.text.clone())).collect();
        if now != self.before {
            return Err(EditError::Raced);
        }
        for (file, text) in &self.changed {
            write::put(file, text.as_deref(), &self.main)
                .map_err(|source| EditError::Unwritable { file: file.clone(), source })?;
        }
        Ok(())
    }
}

/// Plans and writes `edits`, again and again if somebody else is at the files too. Blocks on files.
pub fn apply_edits<T>(
    main: &Path,
    edits: &[Edit],
    make: impl Fn(&Settings) -> Result<T, Vec<Finding>>,
    odd: impl Fn(&Settings) -> Vec<Finding>,
) -> Result<Plan<T>, EditError> {
    written(|| plan(main, edits, &make, &odd))
}

/// As [`apply_edits`], for keys.
pub fn edit_keys<T>(
    main: &Path,
    edits: &[KeyEdit],
    make: impl Fn(&Settings) -> Result<T, Vec<Finding>>,
) -> Result<Plan<T>, EditError> {
    written(|| {
        planned(main, (&make, |_: &Settings| Vec::new()), |documents, folder| {
            edits.iter().try_for_each(|edit| keys::apply(documents, folder, edit))
        })
    })
}

fn written<T>(plan: impl Fn() -> Result<Plan<T>, EditError>) -> Result<Plan<T>, EditError> {
    for _ in 0..TRIES_MAX {
        let plan = plan()?;
        match plan.write() {
            Err(EditError::Raced) => {}
            written => return written.map(|()| plan),
        }
    }
    Err(EditError::Raced)
}

/// The connectors of the settings in the file `main`, in their order, with the file each stands in.
pub fn connectors(main: &Path) -> Result<Vec<Connector>, LoadError> {
    let sources = Sources::read(main, &Changed::new())?;
    let (settings, places, ()) = parse_and_make(&sources, |_| Ok(()))?;
    let connector = |listed: Listed| Connector {
        enabled: listed.fields.get("enabled").and_then(serde_json::Value::as_bool) != Some(false),
        file: places.file(&listed.way()).to_owned(),
        direction: listed.direction,
        name: listed.name,
        fields: listed.fields,
        usage: None,
        intake: None,
    };
    Ok(listed(&settings).into_iter().map(connector).collect())
}

fn apply(documents: &mut Vec<Document>, folder: &Path, edit: &Edit) -> Result<(), EditError> {
    let Edit { direction, name, action } = edit;
    let (direction, section) = (*direction, direction.name());
    if let Action::Add(fields) | Action::Put(fields) | Action::Set(fields) = action {
        // Its place in the folder is made of its name.
        if !is_plain(name) {
            let words = "use letters, digits, `-` and `_`, at most 64";
            return Err(EditError::Wrong(format!("`{name}` cannot be a name; {words}")));
        }
        if fields.get("name").is_some_and(|other| other != name.as_str()) {
            let words = "a connector keeps its name; add one with the new name and remove this one";
            return Err(EditError::Wrong(words.to_owned()));
        }
    }
    let wrong = |Wrong(field)| {
        EditError::Wrong(format!("`{field}` cannot be written in TOML; leave out what is null"))
    };
    let place = documents.iter_mut().find_map(|document| {
        let number = document.find(section, name)?;
        Some((document, number))
    });
    match (place, action) {
        (Some((document, _)), Action::Add(_)) => {
            let (name, file) = (name.clone(), document.file.clone());
            Err(EditError::Exists { direction, name, file })
        }
        (None, Action::Set(_) | Action::Remove) => {
            Err(EditError::Missing { direction, name: name.clone() })
        }
        (Some((document, number)), Action::Put(fields)) => {
            document.put(section, number, fields).map_err(wrong)
        }
        (Some((document, number)), Action::Set(fields)) => {
            document.set(section, number, fields).map_err(wrong)
        }
        (Some((document, number)), Action::Remove) => {
            document.remove(section, number);
            Ok(())
        }
        (None, Action::Add(fields) | Action::Put(fields)) => {
            let file = folder.join(format!("{section}-{name}.toml"));
            let document = Document::at(documents, file);
            let add = |document: &mut Document| document.add(section, Some(name), fields);
            document.map_or(Ok(()), add).map_err(wrong)
        }
    }
}

#[cfg(test)]
mod tests;
