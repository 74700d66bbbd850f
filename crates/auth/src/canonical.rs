//! The canonical forms of RFC 6376 §3.4, made while octets stream by.
//!
//! Both forms of bodies are here, since the library that verifies keeps lines of white space alone at a body's end,
//! where RFC 6376 §3.4.4 ignores them.

use aws_lc_rs::digest::{Algorithm, Context, Digest};

/// Octets put together before they are hashed.
const CHUNK_OCTETS: usize = 4096;

/// How a body is canonicalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Runs of white space are one space, none at the ends of lines (RFC 6376 §3.4.4).
    Relaxed,
    /// Only empty lines at the end are ignored (RFC 6376 §3.4.3).
    Simple,
}

/// Octets of the line under way whose sense depends on what follows.
#[derive(Default)]
struct Held {
    space: bool,
    cr: bool,
}

/// Hashes a body that comes in pieces, cut anywhere. Only CRLF ends a line.
pub(crate) struct BodyHash {
    form: Form,
    context: Context,
    chunk: Vec<u8>,
    /// Line ends that count only if something follows.
    lines_held: usize,
    held: Held,
    has_text: bool,
}

impl BodyHash {
    pub(crate) fn new(form: Form, algorithm: &'static Algorithm) -> Self {
        Self {
            form,
            context: Context::new(algorithm),
            chunk: Vec::with_capacity(CHUNK_OCTETS),
            lines_held: 0,
            held: Held::default(),
            has_text: false,
        }
    }

    /// Takes the next piece.
    pub(crate) fn write(&mut self, mut piece: &[u8]) {
        while let Some((first, rest)) = piece.split_first() {
            if self.held.cr {
                self.held.cr = false;
                if *first == b'\n' {
                    self.lines_held += 1;
                    self.held.space = false;
                    piece = rest;
                    continue;
                }
                self.text(b"\r");
            }
            match (*first, self.form) {
                (b'\r', _) => {
                    self.held.cr = true;
                    piece = rest;
                }
                (b' ' | b'\t', Form::Relaxed) => {
                    self.held.space = true;
                    piece = rest;
                }
                (_, form) => {
                    let ends = |octet: &u8| match form {
                        Form::Relaxed => matches!(octet, b' ' | b'\t' | b'\r'),
                        Form::Simple => *octet == b'\r',
                    };
                    let octets = piece.iter().position(ends).unwrap_or(piece.len());
                    let (text, rest) = piece.split_at_checked(octets).unwrap_or((piece, &[]));
                    self.text(text);
                    piece = rest;
                }
            }
        }
    }

    /// The hash of all that came.
    pub(crate) fn finish(mut self) -> Digest {
        if self.held.cr {
            self.text(b"\r");
        }
        // An empty body is nothing in the relaxed form, and one line end in the simple one.
        if self.has_text || self.form == Form::Simple {
            self.put(b"\r\n");
        }
        self.context.update(&self.chunk);
        self.context.finish()
    }

    fn text(&mut self, text: &[u8]) {
        for _ in 0..std::mem::take(&mut self.lines_held) {
            self.put(b"\r\n");
        }
        if std::mem::take(&mut self.held.space) {
            self.put(b" ");
        }
        self.put(text);
        self.has_text = true;
    }

    fn put(&mut self, octets: &[u8]) {
        if self.chunk.len() + octets.len() > CHUNK_OCTETS {
            self.context.update(&self.chunk);
            self.chunk.clear();
        }
        if octets.len() > CHUNK_OCTETS {
            self.context.update(octets);
        } else {
            self.chunk.extend_from_slice(octets);
        }
    }
}

/// Appends a header field in the relaxed form, without its line end (RFC 6376 §3.4.2).
pub(crate) fn relaxed_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let mut words = value.split(is_space).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
    use proptest::prelude::*;

    use super::*;

    fn hash(form: Form, pieces: &[&[u8]]) -> Vec<u8> {
        let mut hash = BodyHash::new(form, &SHA256);
        for piece in pieces {
            hash.write(piece);
        }
        hash.finish().as_ref().to_vec()
    }

    #[track_caller]
    fn check(body: &str, relaxed: &str, simple: &str) {
        for (form, want) in [(Form::Relaxed, relaxed), (Form::Simple, simple)] {
            let want = digest(&SHA256, want.as_bytes());
            assert_eq!(hash(form, &[body.as_bytes()]), want.as_ref(), "{form:?} {body:?}");
            let octets: Vec<_> = body.as_bytes().chunks(1).collect();
            assert_eq!(hash(form, &octets), want.as_ref(), "{form:?} {body:?} octet by octet");
        }
    }

    #[test]
    fn bodies_have_the_forms_of_the_rfc() {
        check("", "", "\r\n");
        check("\r\n\r\n", "", "\r\n");
        check("a", "a\r\n", "a\r\n");
        check(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n", " C \r\nD \t E\r\n");
        check("\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n");
        check("a\rb\r", "a\rb\r\r\n", "a\rb\r\r\n");
        check("a\nb", "a\nb\r\n", "a\nb\r\n");
    }

    /// What the library gets wrong: lines of white space alone are empty lines (RFC 6376 §3.4.4).
    #[test]
    fn white_space_at_the_end_is_no_text() {
        check("a\r\n \r\n", "a\r\n", "a\r\n \r\n");
        check("a\r\n\t \r\n  \r\n ", "a\r\n", "a\r\n\t \r\n  \r\n \r\n");
        check(" \t\r\n", "", " \t\r\n");
        check("a\r\n \r\nb\r\n", "a\r\n\r\nb\r\n", "a\r\n \r\nb\r\n");
    }

    #[test]
    fn fields_are_relaxed() {
        let mut out = Vec::new();
        relaxed_field(b"SubJect \t", b"  A \t b\r\n\t c  \r\n", &mut out);
        assert_eq!(out, b"subject:A b c");
    }

    /// The form as the RFC words it, over the whole body.
    fn plainly(body: &str) -> String {
        let mut lines: Vec<String> = body
            .split("\r\n")
            .map(|line| {
                let mut text = String::new();
                for c in line.trim_end_matches([' ', '\t']).chars() {
                    match c {
                        ' ' | '\t' if text.ends_with(' ') => {}
                        ' ' | '\t' => text.push(' '),
                        c => text.push(c),
                    }
                }
                text
            })
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect()
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(body in "[ab \t\r\n]{0,60}", cut in 0_usize..60) {
            let want = digest(&SHA256, plainly(&body).as_bytes());
            let (head, tail) = body.as_bytes().split_at(cut.min(body.len()));
            prop_assert_eq!(hash(Form::Relaxed, &[head, tail]), want.as_ref());
        }

        #[test]
        fn long_bodies_pass_through(word in "[a-z]{1,9}", words in 1_usize..9000) {
            let body = format!("{word}  ").repeat(words);
            let want = digest(&SHA256, plainly(&body).as_bytes());
            prop_assert_eq!(hash(Form::Relaxed, &[body.as_bytes()]), want.as_ref());
        }
    }
}
