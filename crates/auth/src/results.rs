//! The `Authentication-Results` field (RFC 8601): ours is written, those that pretend to be ours are found.

use crate::finding::{Evaluation, Identity, Verdict};
use crate::header::fields;

const NAME: &str = "Authentication-Results";

/// The field for what was found, one method a line.
pub(crate) fn field(authserv_id: &str, evaluation: &Evaluation) -> Vec<u8> {
    let mut text = format!("{NAME}: {}", value(authserv_id));
    let spf = &evaluation.spf;
    let identity = match spf.identity {
        Identity::MailFrom => "smtp.mailfrom",
        Identity::Helo => "smtp.helo",
    };
    method(&mut text, "spf", spf.result, &spf.reason);
    property(&mut text, identity, &spf.domain);
    if evaluation.dkim.is_empty() {
        method(&mut text, "dkim", Verdict::None, "nobody signed the message");
    }
    for signature in &evaluation.dkim {
        method(&mut text, "dkim", signature.result, &signature.reason);
        property(&mut text, "header.d", &signature.domain);
        property(&mut text, "header.s", &signature.selector);
        property(&mut text, "header.a", signature.algorithm);
        property(&mut text, "header.b", &signature.signature_start);
    }
    let dmarc = &evaluation.dmarc;
    let reason = match &dmarc.record {
        Some(record) => format!(
            "p={} sp={} dis={}: {}",
            record.domain_policy.word(),
            record.subdomain_policy.word(),
            dmarc.disposition.word(),
            dmarc.reason
        ),
        None => dmarc.reason.clone(),
    };
    method(&mut text, "dmarc", dmarc.result, &reason);
    property(&mut text, "header.from", &dmarc.domain);
    let arc = &evaluation.arc;
    if arc.result != Verdict::None {
        method(&mut text, "arc", arc.result, &arc.reason);
        property(&mut text, "header.d", &arc.domain);
    }
    let iprev = &evaluation.iprev;
    method(&mut text, "iprev", iprev.result, &iprev.reason);
    property(&mut text, "policy.iprev", &iprev.address.to_string());
    text.push_str("\r\n");
    text.into_bytes()
}

/// Begins a method on a line of its own; the reason is a comment (RFC 8601 §2.2).
fn method(text: &mut String, name: &str, result: Verdict, reason: &str) {
    let visible = |c: char| match c {
        '(' | ')' | '\\' => '\'',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '?',
    };
    let reason: String = reason.chars().take(200).map(visible).collect();
    text.extend([format!(";\r\n\t{name}={result} ({reason})")]);
}

fn property(text: &mut String, name: &str, of: &str) {
    if !of.is_empty() {
        text.extend([format!("\r\n\t {name}={}", value(of))]);
    }
}

/// A token, or a quoted string where it must be one; strange characters are replaced (RFC 2045 §5.1).
fn value(text: &str) -> String {
    let is_token = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
    if !text.is_empty() && text.chars().all(is_token) {
        return text.to_owned();
    }
    let quoted = |c: char| match c {
        '"' | '\\' => '\'',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '?',
    };
    format!("\"{}\"", text.chars().take(255).map(quoted).collect::<String>())
}

/// Which of the fields have an authserv-id that is ours, or cannot be told, counted from 1 at the top.
pub(crate) fn forged(header: &[u8], authserv_id: &str) -> Vec<u32> {
    let named = fields(header).filter(|field| field.is(NAME));
    let ours = (1..).zip(named).filter(|(_, field)| claims(field.value, authserv_id.as_bytes()));
    ours.map(|(number, _)| number).collect()
}

/// Whether a field's value begins with our id; one whose id cannot be read counts as well.
fn claims(value: &[u8], authserv_id: &[u8]) -> bool {
    let Some(rest) = without_comments(value) else { return true };
    let id = if let Some((b'"', quoted)) = rest.split_first() {
        let Some(end) = quoted.iter().position(|it| *it == b'"') else { return true };
        let inner = quoted.get(..end).unwrap_or_default();
        inner.iter().copied().filter(|it| *it != b'\\').collect()
    } else {
        let ends = |it: &u8| it.is_ascii_whitespace() || matches!(it, b';' | b'(');
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().to_vec()
    };
    let id = id.strip_suffix(b".").unwrap_or(&id);
    id.eq_ignore_ascii_case(authserv_id)
}

/// What follows white space and comments; none if a comment does not end.
fn without_comments(mut value: &[u8]) -> Option<&[u8]> {
    loop {
        value = value.trim_ascii_start();
        if value.first() != Some(&b'(') {
            return Some(value);
        }
        let (mut depth, mut is_escaped) = (0_usize, false);
        let end = value.iter().position(|octet| {
            match octet {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        value = value.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_claim_our_name_are_found() {
        for (text, want) in [
            ("relay.example.com; spf=pass", true),
            ("Relay.Example.COM 1; none", true),
            ("\r\n\t(a (b\\) ) c) relay.example.com; none", true),
            ("\"relay.example.com\"; none", true),
            ("relay.example.com.; none", true),
            ("relay.example.com", true),
            ("(never ends relay.example.com; none", true),
            ("\"never ends", true),
            ("other.example; relay.example.com=pass", false),
            ("relay.example.com.evil.example; none", false),
            ("", false),
        ] {
            let other = "Authentication-Results: other.example; none\r\n";
            let header = format!("{other}From: a\r\nAuthentication-Results : {text}\r\nTo: b\r\n");
            let found = forged(header.as_bytes(), "relay.example.com");
            assert_eq!(found, if want { vec![2] } else { vec![] }, "{text}");
        }
        let arc = b"ARC-Authentication-Results: i=1; relay.example.com; none\r\n";
        assert!(forged(arc, "relay.example.com").is_empty());
    }

    #[test]
    fn values_cannot_break_out() {
        assert_eq!(value("a.example"), "a.example");
        assert_eq!(value("a;b\r\n\"c"), "\"a;b??'c\"");
        assert_eq!(value(""), "\"\"");
        let mut text = String::new();
        method(&mut text, "spf", Verdict::Fail, "a)\r\nX: (b\\");
        assert_eq!(text, ";\r\n\tspf=fail (a'??X: 'b')");
    }
}
