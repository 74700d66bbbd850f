//! What rspamd answers.

use std::collections::BTreeMap;

use mail::header::{Edit, FieldName, FieldValue, Place, Which};
use mail::{Address, EnhancedStatus, Reply, ReversePath};
use serde::Deserialize;

use crate::answer::{self, Answer, CHANGES_MAX, Decision};
use crate::error::AskError;
use crate::verdict::Change;
use crate::words::shown;

/// So many symbols stand in the log, the weightiest first.
const SYMBOLS_SHOWN_MAX: usize = 6;

/// The parts of the answer that matter; rspamd says much more.
#[derive(Debug, Deserialize)]
struct Found {
    action: String,
    #[serde(default)]
    score: f64,
    #[serde(default)]
    required_score: f64,
    #[serde(default)]
    symbols: BTreeMap<String, Symbol>,
    #[serde(default)]
    messages: BTreeMap<String, serde_json::Value>,
    subject: Option<String>,
    #[serde(default)]
    milter: Milter,
    #[serde(default, rename = "dkim-signature")]
    dkim_signature: OneOrMore<String>,
}

#[derive(Debug, Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Milter {
    add_headers: BTreeMap<String, OneOrMore<Added>>,
    /// Which of them: 0 all, 1 the first, -1 the last.
    remove_headers: BTreeMap<String, OneOrMore<i32>>,
    change_from: Option<String>,
    add_rcpt: Vec<String>,
    del_rcpt: Vec<String>,
    /// Instead of refusing: `quarantine` or `discard`.
    reject: Option<String>,
    /// The field that marks spam, instead of `X-Spam`.
    spam_header: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Added {
    Value(String),
    Placed { value: String, order: Option<i32> },
}

/// Reads the answer to `/checkv2`.
pub(crate) fn read(text: &[u8]) -> Result<Answer, AskError> {
    let found: Found = serde_json::from_slice(text).map_err(|error| {
        wrong(format!("its answer cannot be read: {}", shown(&error.to_string())))
    })?;
    let mut answer = Answer { words: words(&found), ..Answer::default() };
    let message = found.messages.get("smtp_message").and_then(serde_json::Value::as_str);
    match (found.action.as_str(), found.milter.reject.as_deref()) {
        ("discard", _) | ("reject", Some("discard")) => answer.decision = Decision::Discard,
        ("quarantine", _) | ("reject", Some("quarantine")) => {
            answer.hold = Some(answer.words.clone());
        }
        ("reject", _) => answer.decision = refusal(554, 5, message.unwrap_or("refused as spam")),
        ("greylist", _) => {
            answer.decision = refusal(451, 4, message.unwrap_or("not known yet; try again later"));
        }
        ("soft reject", _) => {
            answer.decision = refusal(451, 4, message.unwrap_or("try again later"));
        }
        _ => {}
    }
    if answer.decision == Decision::Continue {
        answer.changes = changes(&found)?;
    }
    if answer.changes.len() > CHANGES_MAX {
        return Err(wrong(format!("it makes more than {CHANGES_MAX} changes")));
    }
    Ok(answer)
}

fn wrong(words: impl Into<String>) -> AskError {
    AskError::protocol(words)
}

fn refusal(code: u16, class: u8, text: &str) -> Decision {
    let status = Some(EnhancedStatus::new(class, 7, 1));
    let reply = answer::reply(code, status, text);
    Decision::Refuse(reply.unwrap_or_else(|| Reply::new(code, status, "refused by a filter")))
}

fn words(found: &Found) -> String {
    let mut symbols: Vec<_> = found.symbols.iter().filter(|(_, it)| it.score != 0.0).collect();
    symbols.sort_by(|a, b| b.1.score.abs().total_cmp(&a.1.score.abs()));
    let symbols = symbols.iter().take(SYMBOLS_SHOWN_MAX);
    let symbols: Vec<_> = symbols.map(|(name, it)| format!("{name}({:.2})", it.score)).collect();
    let (action, score, of) = (&found.action, found.score, found.required_score);
    shown(&format!("{action}, score {score:.2} of {of:.2}, {}", symbols.join(" ")))
}

fn changes(found: &Found) -> Result<Vec<Change>, AskError> {
    let milter = &found.milter;
    let mut changes = Vec::new();
    for (field, numbers) in &milter.remove_headers {
        for number in numbers.as_slice() {
            let which = match number {
                0 => Which::All,
                1.. => Which::FromTop(number.unsigned_abs()),
                _ => Which::FromBottom(number.unsigned_abs()),
            };
            changes.push(Change::Header(Edit::Remove { name: name(field)?, which }));
        }
    }
    if found.action == "rewrite subject"
        && let Some(subject) = &found.subject
    {
        let (name, value) = (name("Subject")?, value(subject)?);
        changes.push(Change::Header(Edit::Set { name, which: Which::All, value }));
    }
    if found.action == "add header" {
        let (name, value) =
            (name(milter.spam_header.as_deref().unwrap_or("X-Spam"))?, value("Yes")?);
        changes.push(Change::Header(Edit::Add { name, value, at: Place::Bottom }));
    }
    for (field, added) in &milter.add_headers {
        for added in added.as_slice() {
            let (text, order) = match added {
                Added::Value(text) => (text, None),
                Added::Placed { value, order } => (value, *order),
            };
            let at = match order {
                Some(0 | 1) => Place::Top,
                Some(order @ 2..) => Place::Behind(order.unsigned_abs() - 1),
                _ => Place::Bottom,
            };
            changes.push(Change::Header(Edit::Add { name: name(field)?, value: value(text)?, at }));
        }
    }
    for signature in found.dkim_signature.as_slice() {
        let (name, value) = (name("DKIM-Signature")?, value(signature)?);
        changes.push(Change::Header(Edit::Add { name, value, at: Place::Top }));
    }
    for text in &milter.del_rcpt {
        changes.push(Change::RemoveRecipient(address(text)?));
    }
    for text in &milter.add_rcpt {
        changes.push(Change::AddRecipient(address(text)?));
    }
    changes.extend(milter.change_from.as_deref().map(sender).transpose()?.map(Change::Sender));
    Ok(changes)
}

fn name(text: &str) -> Result<FieldName, AskError> {
    FieldName::parse(text).map_err(|error| wrong(format!("`{}`: {error}", shown(text))))
}

fn value(text: &str) -> Result<FieldValue, AskError> {
    FieldValue::parse(text.as_bytes()).map_err(|error| wrong(format!("in a field {error}")))
}

fn bare(text: &str) -> &str {
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

fn address(text: &str) -> Result<Address, AskError> {
    Address::parse(bare(text)).map_err(|error| wrong(format!("`{}`: {error}", shown(text))))
}

fn sender(text: &str) -> Result<ReversePath, AskError> {
    if bare(text).is_empty() {
        Ok(ReversePath::Null)
    } else {
        address(text).map(ReversePath::Address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, decision: &str, changes: &[&str]) -> Answer {
        let answer = read(text.as_bytes()).unwrap();
        let found = match &answer.decision {
            Decision::Refuse(reply) => reply.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(found, decision, "{text}");
        let found: Vec<_> = answer.changes.iter().map(|it| format!("{it:?}")).collect();
        assert_eq!(found, changes, "{text}");
        answer
    }

    #[test]
    fn actions_decide() {
        let answer = check(
            r#"{"action":"reject","score":15.5,"required_score":15,"is_skipped":false,
                "symbols":{"A":{"score":0.5,"name":"A"},"B":{"score":-2},"C":{"score":0}}}"#,
            "554 5.7.1 refused as spam",
            &[],
        );
        assert_eq!(answer.words, "reject, score 15.50 of 15.00, B(-2.00) A(0.50)");
        check(r#"{"action":"no action"}"#, "Continue", &[]);
        check(r#"{"action":"accept"}"#, "Continue", &[]);
        check(r#"{"action":"greylist"}"#, "451 4.7.1 not known yet; try again later", &[]);
        check(
            r#"{"action":"soft reject","messages":{"smtp_message":"slow\r\n250 down"}}"#,
            "451 4.7.1 slow 250 down",
            &[],
        );
        check(r#"{"action":"discard"}"#, "Discard", &[]);
        check(r#"{"action":"reject","milter":{"reject":"discard"}}"#, "Discard", &[]);
        let held = check(r#"{"action":"quarantine","score":1}"#, "Continue", &[]);
        assert_eq!(held.hold.as_deref(), Some("quarantine, score 1.00 of 0.00, "));
        let header = r#"Header(Add { name: X-Spam, value: "Yes", at: Bottom })"#;
        check(r#"{"action":"add header"}"#, "Continue", &[header]);
        let subject = r#"Header(Set { name: Subject, which: All, value: "*** SPAM ***" })"#;
        check(r#"{"action":"rewrite subject","subject":"*** SPAM ***"}"#, "Continue", &[subject]);
    }

    #[test]
    fn the_milter_block_is_honoured() {
        check(
            r#"{"action":"no action","dkim-signature":"v=1;\r\n\tb=c","milter":{
                "remove_headers":{"X-A":0,"X-B":[1,-2]},
                "add_headers":{"X-C":"c","X-D":{"value":"d","order":1},"X-E":["e",{"value":"f","order":-1},{"value":"g","order":3}]},
                "add_rcpt":["<a@b.example>"],"del_rcpt":["c@b.example"],"change_from":"<>","unknown":1}}"#,
            "Continue",
            &[
                "Header(Remove { name: X-A, which: All })",
                "Header(Remove { name: X-B, which: FromTop(1) })",
                "Header(Remove { name: X-B, which: FromBottom(2) })",
                r#"Header(Add { name: X-C, value: "c", at: Bottom })"#,
                r#"Header(Add { name: X-D, value: "d", at: Top })"#,
                r#"Header(Add { name: X-E, value: "e", at: Bottom })"#,
                r#"Header(Add { name: X-E, value: "f", at: Bottom })"#,
                r#"Header(Add { name: X-E, value: "g", at: Behind(2) })"#,
                r#"Header(Add { name: DKIM-Signature, value: "v=1;\r\n\tb=c", at: Top })"#,
                "RemoveRecipient(<c@b.example>)",
                "AddRecipient(<a@b.example>)",
                "Sender(<>)",
            ],
        );
    }

    #[test]
    fn what_is_no_answer_fails() {
        for bad in [
            "",
            "{}",
            r#"{"error":"empty"}"#,
            r#"{"action":"no action","milter":{"add_headers":{"X-A":"b\r\nBcc: c"}}}"#,
            r#"{"action":"no action","milter":{"add_headers":{"X A":"b"}}}"#,
            r#"{"action":"no action","milter":{"add_rcpt":["a@b> NOTIFY=NEVER"]}}"#,
            r#"{"action":"no action","milter":{"change_from":"x"}}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
