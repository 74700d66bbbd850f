//! Text in the form that a field of a header takes.

/// What fits into an encoded word besides its frame (RFC 2047 §2).
const WORD_OCTETS_MAX: usize = 75 - "=?utf-8?q??=".len();

/// Text as it is if it is ASCII, else as encoded words (RFC 2047), separated by spaces.
pub(crate) fn text(text: &str) -> String {
    if text.is_ascii() && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let mut octets = [0; 4];
        let mut written = String::new();
        for octet in c.encode_utf8(&mut octets).bytes() {
            if octet.is_ascii_alphanumeric() {
                written.push(char::from(octet));
            } else {
                written.push('=');
                written.extend([octet >> 4, octet & 15].map(hexadecimal));
            }
        }
        if word.len() + written.len() > WORD_OCTETS_MAX {
            words.push(std::mem::take(&mut word));
        }
        word.push_str(&written);
    }
    words.push(word);
    let framed: Vec<_> = words.iter().map(|word| format!("=?utf-8?q?{word}?=")).collect();
    framed.join(" ")
}

fn hexadecimal(half: u8) -> char {
    char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase()
}

/// A display name and an address as `From` wants them (RFC 5322 §3.4).
pub(crate) fn mailbox(name: Option<&str>, address: &str) -> String {
    /// Longer names are cut.
    const CHARS_MAX: usize = 200;
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    let clean = |name: &str| -> String {
        name.chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect()
    };
    let name = name.map(clean).filter(|name| !name.trim().is_empty());
    match name {
        None => format!("<{address}>"),
        Some(name) if name.chars().all(is_plain) && !name.contains("=?") => {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{quoted}\" <{address}>")
        }
        Some(name) => format!("{} <{address}>", text(&name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_becomes_words() {
        assert_eq!(text("plain text"), "plain text");
        assert_eq!(text("gr\u{fc}n"), "=?utf-8?q?gr=C3=BCn?=");
        let long = text(&"\u{20ac}".repeat(20));
        assert!(long.split(' ').all(|word| word.len() <= 75) && long.contains("?= =?"), "{long}");
    }

    #[test]
    fn names_cannot_break_out() {
        for (name, want) in [
            (None, "<a@b>"),
            (Some(" "), "<a@b>"),
            (Some("Al \"x\" \\ <c@d>"), r#""Al \"x\" \\ <c@d>" <a@b>"#),
            (Some("a\r\nBcc: x"), "\"aBcc: x\" <a@b>"),
            (Some("=?utf-8?q?x?="), "=?utf-8?q?=3D=3Futf=2D8=3Fq=3Fx=3F=3D?= <a@b>"),
            (Some("J\u{f6}rg"), "=?utf-8?q?J=C3=B6rg?= <a@b>"),
        ] {
            assert_eq!(mailbox(name, "a@b"), want);
        }
    }
}
