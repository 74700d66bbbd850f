//! What serde says of a wrong value, in words of people who write settings.

/// What is wrong, and what to write instead; a message that is not known stands as it is.
pub(crate) fn words(message: &str) -> (String, Option<String>) {
    if let Some((found, wanted)) = split(message, "invalid type: ") {
        let (value, kind) = found_words(found);
        return (
            format!("{} is {kind}", value.unwrap_or("this")),
            Some(wanted_words(wanted, value)),
        );
    }
    if let Some((found, wanted)) = split(message, "invalid value: ")
        && let (Some(value), NUMBER) = found_words(found)
    {
        return (format!("{value} is out of range"), Some(wanted_words(wanted, None)));
    }
    if let Some((word, known)) = split(message, "unknown variant ") {
        return (format!("{word} is not known here"), Some(known_words(known)));
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return (format!("{name} is missing"), Some("give it a value".to_owned()));
    }
    if message == "invalid socket address syntax" {
        let hint = "write both, such as \"0.0.0.0:25\" or \"[::]:25\"; a name does not do here";
        return ("this is not an IP address and a port".to_owned(), Some(hint.to_owned()));
    }
    (message.to_owned(), None)
}

const NUMBER: &str = "a number";

fn split<'a>(message: &'a str, start: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(start)?.rsplit_once(", expected ")
}

/// The value that was found, if it is one of few words, and of what kind it is.
fn found_words(found: &str) -> (Option<&str>, &'static str) {
    for (start, kind) in [
        ("integer ", NUMBER),
        ("floating point ", "a number with a fraction"),
        ("boolean ", "a word without quotes"),
        ("string ", "a text"),
    ] {
        if let Some(value) = found.strip_prefix(start) {
            return (Some(value.trim_matches('`')), kind);
        }
    }
    match found {
        "sequence" => (None, "a list"),
        "map" => (None, "a table"),
        _ => (None, "of the wrong kind"),
    }
}

/// The words of which one is to be written, as serde lists them: in backticks.
fn known_words(list: &str) -> String {
    let known: Vec<_> =
        list.split('`').skip(1).step_by(2).map(|word| format!("\"{word}\"")).collect();
    match known.split_last() {
        Some((last, [])) => format!("write {last}"),
        Some((last, others)) => format!("write {} or {last}", others.join(", ")),
        None => format!("write {list}"),
    }
}

/// What to write.
fn wanted_words(wanted: &str, value: Option<&str>) -> String {
    let upto = |most: u32| format!("write a whole number from 0 to {most}");
    match wanted {
        "a string" | "path string" | "a borrowed string" => {
            let example = value.map_or_else(String::new, |value| format!(", such as \"{value}\""));
            format!("write a text in quotes{example}")
        }
        "a boolean" => "write true or false, without quotes".to_owned(),
        "a sequence" => {
            let value = value.map_or("\"a\", \"b\"", |value| value);
            format!("write a list in brackets, such as [{value}]")
        }
        "u8" => upto(u8::MAX.into()),
        "u16" => upto(u16::MAX.into()),
        "u32" => upto(u32::MAX),
        "u64" | "usize" => "write a whole number, 0 or more, without quotes".to_owned(),
        "f32" | "f64" => "write a number without quotes".to_owned(),
        "a map" => "write a section".to_owned(),
        _ if wanted.starts_with("struct ") => "write a section".to_owned(),
        _ => format!("write {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, want: &str) {
        let (said, hint) = words(message);
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        assert_eq!(format!("{said}{hint}"), want);
    }

    #[test]
    fn serde_is_translated() {
        check(
            "invalid type: integer `3`, expected path string",
            "3 is a number; write a text in quotes, such as \"3\"",
        );
        check(
            "invalid type: string \"a, expected b\", expected a boolean",
            "\"a, expected b\" is a text; write true or false, without quotes",
        );
        check(
            "invalid type: boolean `true`, expected a string",
            "true is a word without quotes; write a text in quotes, such as \"true\"",
        );
        check(
            "invalid type: string \"5\", expected usize",
            "\"5\" is a text; write a whole number, 0 or more, without quotes",
        );
        check(
            "invalid type: floating point `1.5`, expected u16",
            "1.5 is a number with a fraction; write a whole number from 0 to 65535",
        );
        check(
            "invalid type: map, expected a sequence",
            "this is a table; write a list in brackets, such as [\"a\", \"b\"]",
        );
        check(
            "invalid type: string \"a\", expected a sequence",
            "\"a\" is a text; write a list in brackets, such as [\"a\"]",
        );
        check(
            "unknown variant `on`, expected one of `no`, `may`, `must`",
            "`on` is not known here; write \"no\", \"may\" or \"must\"",
        );
        check("unknown variant `on`, expected `no`", "`on` is not known here; write \"no\"");
        check(
            "invalid type: boolean `true`, expected a time in quotes, such as \"10s\"",
            "true is a word without quotes; write a time in quotes, such as \"10s\"",
        );
        check(
            "invalid socket address syntax",
            "this is not an IP address and a port; write both, such as \"0.0.0.0:25\" or \"[::]:25\"; a name does not do here",
        );
        check("invalid type: sequence, expected struct Config", "this is a list; write a section");
        check(
            "invalid value: integer `-1`, expected u32",
            "-1 is out of range; write a whole number from 0 to 4294967295",
        );
        check("missing field `name`", "`name` is missing; give it a value");
        check("`x` is not a size", "`x` is not a size");
        check(
            "invalid value: string \"x\", expected odd",
            "invalid value: string \"x\", expected odd",
        );
    }
}
