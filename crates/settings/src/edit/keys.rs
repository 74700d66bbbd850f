//! Changes to `[[dkim]]`.

use std::path::Path;

use admin::view::Fields;
use auth::config::Key;
use serde_json::Value;
use toml_edit::{Item, TableLike};

use crate::edit::document::{Document, Wrong};
use crate::edit::error::EditError;

const SECTION: &str = "dkim";

/// A change to a key's table in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEdit {
    /// Adds a table, in a file of the domain in the connectors' folder.
    Add(Key),
    /// Changes fields where the table stands.
    Set {
        /// The domain that signs.
        domain: String,
        /// The key's name.
        selector: String,
        /// What changes.
        fields: Fields,
    },
}

pub(super) fn apply(
    documents: &mut Vec<Document>,
    folder: &Path,
    edit: &KeyEdit,
) -> Result<(), EditError> {
    let (domain, selector) = match edit {
        KeyEdit::Add(key) => (&key.domain, &key.selector),
        KeyEdit::Set { domain, selector, .. } => (domain, selector),
    };
    let is_it =
        |table: &dyn TableLike| is(table, "domain", domain) && is(table, "selector", selector);
    let place = documents.iter_mut().find_map(|document| {
        let number = document.position(SECTION, is_it)?;
        Some((document, number))
    });
    let wrong = |Wrong(field)| EditError::Wrong(format!("`{field}` cannot be written in TOML"));
    match (edit, place) {
        (KeyEdit::Add(_), Some((document, _))) => Err(EditError::KeyExists {
            domain: domain.clone(),
            selector: selector.clone(),
            file: document.file.clone(),
        }),
        (KeyEdit::Set { .. }, None) => {
            Err(EditError::KeyMissing { domain: domain.clone(), selector: selector.clone() })
        }
        (KeyEdit::Set { fields, .. }, Some((document, number))) => {
            document.set(SECTION, number, fields).map_err(wrong)
        }
        (KeyEdit::Add(key), None) => {
            let problem = key.problems().into_iter().next();
            if let Some(problem) = problem {
                return Err(EditError::Wrong(problem.words));
            }
            let file = folder.join(format!("dkim-{}.toml", domain.to_ascii_lowercase()));
            let document = Document::at(documents, file);
            document
                .map_or(Ok(()), |document| document.add(SECTION, None, &fields(key)))
                .map_err(wrong)
        }
    }
}

fn is(table: &dyn TableLike, key: &str, text: &str) -> bool {
    let found = table.get(key).and_then(Item::as_str);
    found.is_some_and(|found| found.eq_ignore_ascii_case(text))
}

/// Its fields as an operator would write them: what is as by default is left out, but for the state.
fn fields(key: &Key) -> Fields {
    let mut fields = match serde_json::to_value(key) {
        Ok(Value::Object(fields)) => fields,
        // What came from the command line can be printed.
        _ => Fields::new(),
    };
    if key.check_dns {
        fields.remove("check_dns");
    }
    fields
}
