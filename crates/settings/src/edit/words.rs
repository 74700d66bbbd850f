//! Fields as an operator types them.

use admin::view::Fields;
use serde_json::{Map, Value};
use toml_edit::DocumentMut;

use crate::edit::document::json;

/// Reads words such as `enabled=false` or `limits.connections_max=5`; nothing behind the `=` is null, and a plain word
/// such as `spf` is a text.
///
/// # Errors
/// Says what is wrong with a word.
pub fn fields(words: &[String]) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` has no `=`"))?;
        let read = value_of(value).or_else(|| plain(value).then(|| value.trim().into()));
        let value = read.ok_or_else(|| format!("`{value}` is no value in TOML"))?;
        let is_name = |part: &str| !part.is_empty();
        if !key.trim().split('.').all(is_name) {
            return Err(format!("`{key}` is no key"));
        }
        put(&mut fields, key.trim(), value).ok_or_else(|| format!("`{key}` is given twice"))?;
    }
    Ok(fields)
}

fn value_of(text: &str) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(Value::Null);
    }
    // A line break would begin another key.
    if text.contains(['\n', '\r']) {
        return None;
    }
    let document: DocumentMut = format!("v = {text}").parse().ok()?;
    json(document.get("v")?)
}

fn put(fields: &mut Map<String, Value>, key: &str, value: Value) -> Option<()> {
    match key.split_once('.') {
        None if fields.contains_key(key) => None,
        None => {
            fields.insert(key.to_owned(), value);
            Some(())
        }
        Some((first, rest)) => {
            let inner = fields.entry(first).or_insert_with(|| Value::Object(Map::new()));
            put(inner.as_object_mut()?, rest, value)
        }
    }
}

/// Whether a word is nothing but letters, digits, and what stands in names and addresses.
fn plain(word: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "._-@:/*".contains(c);
    !word.trim().is_empty() && word.trim().chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_toml_and_keys_go_into_tables() {
        let read = |words: &[&str]| {
            fields(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).map(Value::Object)
        };
        assert_eq!(
            read(&[
                "enabled=false",
                "sender_ip_addresses=[\"::1\"]",
                "limits.a=1",
                "limits.b = \"x=y\"",
                "login=",
                "auth=spf",
                "from=a@x.example"
            ]),
            Ok(json!({
                "enabled": false, "sender_ip_addresses": ["::1"], "limits": { "a": 1, "b": "x=y" }, "login": null,
                "auth": "spf", "from": "a@x.example",
            }))
        );
        for (words, want) in [
            (&["enabled"][..], "`enabled` has no `=`"),
            (&["a=b c"], "`b c` is no value in TOML"),
            (&["a=[b]"], "`[b]` is no value in TOML"),
            (&["a=1\nb=2"], "`1\nb=2` is no value in TOML"),
            (&["a=1", "a=2"], "`a` is given twice"),
            (&["a=1", "a.b=2"], "`a.b` is given twice"),
            (&["a..b=2"], "`a..b` is no key"),
        ] {
            assert_eq!(read(words), Err(want.to_owned()));
        }
    }
}
