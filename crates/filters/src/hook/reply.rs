//! What a hook answers.

use mail::header::{Edit, FieldName, FieldValue, Place, Which};
use mail::{Address, EnhancedStatus, Reply as MailReply};
use serde::Deserialize;

use crate::answer::{self, Answer, CHANGES_MAX, Decision, deferred, rejected};
use crate::error::AskError;
use crate::verdict::Change;
use crate::words::shown;

/// A class is a short word.
const CLASS_OCTETS_MAX: usize = 64;

/// The answer: nothing else may stand in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    action: Action,
    /// For `reject` and `defer`; left out, the relay has words of its own.
    reply: Option<Reply>,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    recipients: Recipients,
    class: Option<String>,
    /// Why, for the log and for whoever finds the message held.
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Continue,
    Accept,
    Reject,
    Defer,
    Discard,
    Hold,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    code: u16,
    status: Option<String>,
    text: String,
}

/// One change to the header: `add`, `set` or `remove` holds the field's name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    add: Option<String>,
    set: Option<String>,
    remove: Option<String>,
    value: Option<String>,
    /// Of `add`: `top`, or behind so many fields; left out: the bottom.
    at: Option<At>,
    /// Of `set` and `remove`: 1 is the first of the name, -1 the last; left out: all.
    number: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum At {
    Word(Word),
    Behind(u32),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Top,
    Bottom,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Recipients {
    add: Vec<String>,
    remove: Vec<String>,
}

/// Reads the answer to a post.
pub(crate) fn read(text: &[u8]) -> Result<Answer, AskError> {
    let found: Found = serde_json::from_slice(text).map_err(|error| {
        wrong(format!("its answer cannot be read: {}", shown(&error.to_string())))
    })?;
    let wanted = found.headers.len() + found.recipients.add.len() + found.recipients.remove.len();
    if wanted > CHANGES_MAX {
        return Err(wrong(format!("it makes more than {CHANGES_MAX} changes")));
    }
    let words = shown(found.reason.as_deref().unwrap_or_default());
    let decision = match found.action {
        Action::Continue | Action::Hold => Decision::Continue,
        Action::Accept => Decision::Accept,
        Action::Discard => Decision::Discard,
        Action::Reject => Decision::Refuse(reply(found.reply.as_ref(), 5, rejected)?),
        Action::Defer => Decision::Refuse(reply(found.reply.as_ref(), 4, deferred)?),
    };
    let is_held = found.action == Action::Hold;
    let hold = is_held
        .then(|| if words.is_empty() { "no reason given".to_owned() } else { words.clone() });
    let changes = changes(&found)?;
    let class = found.class.map(class).transpose()?;
    Ok(Answer { decision, changes, class, hold, words })
}

fn wrong(words: impl Into<String>) -> AskError {
    AskError::protocol(words)
}

fn reply(
    found: Option<&Reply>,
    class: u16,
    otherwise: impl FnOnce() -> MailReply,
) -> Result<MailReply, AskError> {
    let Some(found) = found else { return Ok(otherwise()) };
    let unfit =
        || wrong(format!("its reply's code is not {class}yz, or its status does not go with it"));
    let status = found.status.as_deref().map(str::parse::<EnhancedStatus>).transpose();
    let status = status.map_err(|()| unfit())?;
    let is_right = found.code / 100 == class;
    let reply = answer::reply(found.code, status, &found.text).filter(|_| is_right);
    reply.ok_or_else(unfit)
}

fn class(text: String) -> Result<String, AskError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=CLASS_OCTETS_MAX).contains(&text.len()) && text.bytes().all(is_word) {
        return Ok(text);
    }
    Err(wrong("its class is not 1 to 64 letters, digits, `-`, `_` and `.`"))
}

fn changes(found: &Found) -> Result<Vec<Change>, AskError> {
    let address = |text: &String| {
        Address::parse(text).map_err(|error| wrong(format!("`{}`: {error}", shown(text))))
    };
    let mut changes = Vec::new();
    for header in &found.headers {
        changes.push(Change::Header(edit(header)?));
    }
    for text in &found.recipients.remove {
        changes.push(Change::RemoveRecipient(address(text)?));
    }
    for text in &found.recipients.add {
        changes.push(Change::AddRecipient(address(text)?));
    }
    Ok(changes)
}

fn edit(header: &Header) -> Result<Edit, AskError> {
    let name = |text: &str| {
        FieldName::parse(text).map_err(|error| wrong(format!("`{}`: {error}", shown(text))))
    };
    let value = |text: &str| {
        FieldValue::parse(text.as_bytes()).map_err(|error| wrong(format!("in a field {error}")))
    };
    let which = match header.number {
        None => Which::All,
        Some(number @ 1..) => Which::FromTop(number.unsigned_abs()),
        Some(number @ ..=-1) => Which::FromBottom(number.unsigned_abs()),
        Some(0) => return Err(wrong("there is no field of number 0")),
    };
    let Header { add, set, remove, value: text, at, number } = header;
    match (add, set, remove, text) {
        (Some(field), None, None, Some(text)) if number.is_none() => {
            let at = match at {
                None | Some(At::Word(Word::Bottom)) => Place::Bottom,
                Some(At::Word(Word::Top)) => Place::Top,
                Some(At::Behind(count)) => Place::Behind(*count),
            };
            Ok(Edit::Add { name: name(field)?, value: value(text)?, at })
        }
        (None, Some(field), None, Some(text)) if at.is_none() => {
            Ok(Edit::Set { name: name(field)?, which, value: value(text)? })
        }
        (None, None, Some(field), None) if at.is_none() => {
            Ok(Edit::Remove { name: name(field)?, which })
        }
        _ => Err(wrong("a change to the header is none of: add and value, set and value, remove")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let answer = read(text.as_bytes()).unwrap();
        let decision = match &answer.decision {
            Decision::Refuse(reply) => reply.to_string(),
            other => format!("{other:?}"),
        };
        let mut found = vec![decision];
        found.extend(answer.changes.iter().map(|change| format!("{change:?}")));
        found.extend(answer.class.map(|class| format!("class {class}")));
        found.extend(answer.hold.map(|hold| format!("hold {hold}")));
        assert_eq!(found.join("; "), want, "{text}");
    }

    #[test]
    fn answers_are_read() {
        check(r#"{"action":"continue"}"#, "Continue");
        check(r#"{"action":"accept","class":"bulk"}"#, "Accept; class bulk");
        check(r#"{"action":"discard"}"#, "Discard");
        check(r#"{"action":"hold","reason":"odd\n"}"#, "Continue; hold odd?");
        check(r#"{"action":"hold"}"#, "Continue; hold no reason given");
        check(r#"{"action":"reject"}"#, "550 5.7.1 refused by a filter");
        check(r#"{"action":"defer"}"#, "451 4.7.1 refused by a filter for now; try again later");
        check(
            r#"{"action":"reject","reply":{"code":554,"status":"5.6.0","text":"no\r\n250 yes"}}"#,
            "554 5.6.0 no 250 yes",
        );
        check(r#"{"action":"defer","reply":{"code":450,"text":"later"}}"#, "450 4.7.1 later");
        check(
            r#"{"action":"continue","headers":[{"add":"X-A","value":"b"},{"add":"X-B","value":"c","at":"top"},
                {"add":"X-C","value":"d","at":2},{"set":"Subject","value":"new"},{"remove":"X-D","number":-1}],
                "recipients":{"add":["a@b.example"],"remove":["c@b.example"]}}"#,
            r#"Continue; Header(Add { name: X-A, value: "b", at: Bottom }); Header(Add { name: X-B, value: "c", at: Top }); Header(Add { name: X-C, value: "d", at: Behind(2) }); Header(Set { name: Subject, which: All, value: "new" }); Header(Remove { name: X-D, which: FromBottom(1) }); RemoveRecipient(<c@b.example>); AddRecipient(<a@b.example>)"#,
        );
    }

    #[test]
    fn others_fail() {
        let many = r#"{"remove":"X"},"#.repeat(CHANGES_MAX + 1);
        let many = format!(r#"{{"action":"continue","headers":[{}]}}"#, many.trim_end_matches(','));
        for bad in [
            "",
            "null",
            "{}",
            r#"{"action":"maybe"}"#,
            r#"{"action":"continue","more":1}"#,
            r#"{"action":"continue"} {}"#,
            r#"{"action":"reject","reply":{"code":250,"text":"ok"}}"#,
            r#"{"action":"reject","reply":{"code":450,"text":"later"}}"#,
            r#"{"action":"reject","reply":{"code":550,"status":"4.0.0","text":"no"}}"#,
            r#"{"action":"reject","reply":{"code":550,"status":"5.0","text":"no"}}"#,
            r#"{"action":"continue","headers":[{"add":"X-A"}]}"#,
            r#"{"action":"continue","headers":[{"add":"X-A","set":"X-B","value":"c"}]}"#,
            r#"{"action":"continue","headers":[{"add":"X-A","value":"b\r\nBcc: c"}]}"#,
            r#"{"action":"continue","headers":[{"add":"X A","value":"b"}]}"#,
            r#"{"action":"continue","headers":[{"remove":"X-A","number":0}]}"#,
            r#"{"action":"continue","headers":[{"add":"X-A","value":"b","at":"middle"}]}"#,
            r#"{"action":"continue","recipients":{"add":["nobody"]}}"#,
            r#"{"action":"continue","class":"a b"}"#,
            &many,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
