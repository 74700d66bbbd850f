//! What is read from the device and from files.

use std::path::Path;
use std::sync::Arc;

use mail::MessageId;
use spool::measured;

/// A record that says anything is refused or read, and then is written and read as the same.
pub(crate) fn record(input: &[u8]) {
    let id = MessageId::new(1, 1);
    // As it is, its checksum hardly ever fits; and with the right one, so that the fields are looked at.
    drop(measured::decode(input, id));
    let Some(envelope) = measured::decode(&measured::sealed(input, id), id) else { return };
    let again = measured::decode(&measured::encode(&envelope, id), id);
    assert_eq!(again.as_deref(), Some(&*Arc::clone(&envelope)));
}

/// Settings are taken, or every problem has a text and a place in the file.
pub(crate) fn settings(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match settings::parse(text, Path::new("chasqui.toml")) {
        Ok(settings) => assert!(settings::to_toml(&settings).is_ok()),
        Err(problems) => {
            assert!(!problems.list.is_empty());
            let words = problems.to_string();
            assert!(words.lines().count() <= 64 * (text.len() + 1), "{words}");
        }
    }
}
