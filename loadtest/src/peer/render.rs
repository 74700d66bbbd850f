//! Texts with placeholders: `{name}`, of small letters and underscores. Any other brace stands for itself.

use std::collections::BTreeMap;

use anyhow::bail;

/// What stands for each placeholder.
pub(crate) type Values = BTreeMap<&'static str, String>;

/// `text` with its placeholders filled in; `origin` is named in errors.
///
/// # Errors
/// If a placeholder is not known.
pub(crate) fn render(text: &str, values: &Values, origin: &str) -> anyhow::Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = placeholder(behind) else {
            out.push('{');
            rest = behind;
            continue;
        };
        let Some(value) = values.get(name) else {
            let known: Vec<_> = values.keys().copied().collect();
            bail!("{origin}: there is no placeholder {{{name}}}; there are {}", known.join(", "));
        };
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The name of the placeholder that `text` begins with, its opening brace left out, and what follows.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.split_once('}')?;
    let is_name =
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_');
    is_name.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, &str>) {
        let values = Values::from([("folder", "/run/x".to_owned()), ("port", "25".to_owned())]);
        let got = render(text, &values, "x.toml").map_err(|error| error.to_string());
        assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn placeholders_are_filled_in() {
        check("a = {folder}/b:{port}{port}", Ok("a = /run/x/b:2525"));
        check("", Ok(""));
        check(
            "smart_hosts = [{ host = \"x\", port = {port} }]",
            Ok("smart_hosts = [{ host = \"x\", port = 25 }]"),
        );
        check("inline:{ {.slow.example=smtp:[x]} } {", Ok("inline:{ {.slow.example=smtp:[x]} } {"));
        check("{ {port}", Ok("{ 25"));
    }

    #[test]
    fn unknown_placeholders_are_errors() {
        check("{prot}", Err("x.toml: there is no placeholder {prot}; there are folder, port"));
    }
}
