//! The page of standards: which sections the code names, and where each is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::notice::NOTICE;
use crate::source::{packages, root};

/// A standard that the code names.
struct Standard {
    number: u32,
    title: &'static str,
    /// Its word in EHLO's reply, if it is an extension of SMTP.
    keyword: &'static str,
}

const fn standard(number: u32, keyword: &'static str, title: &'static str) -> Standard {
    Standard { number, title, keyword }
}

/// All of them; one that the code names and this list lacks is an error, and the other way round.
const STANDARDS: &[Standard] = &[
    standard(1870, "SIZE", "Message size declaration"),
    standard(1985, "ETRN", "Remote queue starting: refused"),
    standard(2033, "", "LMTP"),
    standard(2034, "ENHANCEDSTATUSCODES", "Enhanced status codes in replies"),
    standard(2852, "DELIVERBY", "Deliver by"),
    standard(2920, "PIPELINING", "Command pipelining"),
    standard(3030, "CHUNKING", "Chunks and binary content (CHUNKING, BINARYMIME)"),
    standard(3207, "STARTTLS", "TLS by STARTTLS"),
    standard(3461, "DSN", "Delivery status notifications"),
    standard(4865, "FUTURERELEASE", "Messages for later"),
    standard(4954, "AUTH", "Logins"),
    standard(6152, "8BITMIME", "Content of 8 bits"),
    standard(6531, "SMTPUTF8", "Addresses and headers beyond ASCII"),
    standard(6710, "MT-PRIORITY", "Priorities"),
    standard(8689, "REQUIRETLS", "TLS on the whole way"),
    standard(9422, "LIMITS", "Limits that a server tells"),
];

/// Where a standard is named.
#[derive(Default)]
struct Named {
    sections: BTreeSet<Section>,
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// A section in the order of its numbers: 4.2 is before 4.10.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Section(Vec<u32>);

pub(crate) fn page() -> Result<String> {
    let mut named: BTreeMap<u32, Named> = BTreeMap::new();
    for package in packages()?.iter().filter(|package| package.is_crate()) {
        for file in package.files()? {
            for (number, section) in references(&file.text) {
                let named = named.entry(number).or_default();
                named.sections.extend(section);
                named.code.insert(package.name.clone());
            }
        }
    }
    for (place, text) in tests()? {
        for (number, _) in references(&text) {
            if let Some(named) = named.get_mut(&number) {
                named.tests.insert(place.clone());
            }
        }
        for standard in STANDARDS.iter().filter(|it| says(&text, it.keyword)) {
            if let Some(named) = named.get_mut(&standard.number) {
                named.tests.insert(place.clone());
            }
        }
    }
    let mut page = format!(
        "# SMTP: what is spoken, and where it is tested\n\n<!-- {NOTICE} -->\n\nExtensions are those that `extensions` of a listener may name, and those that a next hop may offer. Sections are those that the\nsources name; a test is named where it names the standard or says the extension's word.\n\n"
    );
    extensions(&mut page, &named)?;
    others(&mut page, &named)?;
    Ok(page)
}

fn extensions(page: &mut String, named: &BTreeMap<u32, Named>) -> Result<()> {
    writeln!(page, "| extension | RFC | what | sections | tested in |\n|---|---|---|---|---|")?;
    for Standard { number, title, keyword } in STANDARDS.iter().filter(|it| !it.keyword.is_empty())
    {
        let found = named.get(number).with_context(|| {
            format!("no source names RFC {number}: take it out of xtask/src/generate/smtp.rs")
        })?;
        ensure!(!found.tests.is_empty(), "no test says {keyword} or names RFC {number}");
        writeln!(
            page,
            "| {keyword} | {} | {title} | {} | {} |",
            link(*number),
            sections(found),
            places(&found.tests)
        )?;
    }
    Ok(())
}

fn others(page: &mut String, named: &BTreeMap<u32, Named>) -> Result<()> {
    writeln!(
        page,
        "\n## All standards that the sources name\n\n| RFC | sections | crates | tested in |\n|---|---|---|---|"
    )?;
    for (number, found) in named {
        writeln!(
            page,
            "| {} | {} | {} | {} |",
            link(*number),
            sections(found),
            places(&found.code),
            places(&found.tests)
        )?;
    }
    Ok(())
}

fn link(number: u32) -> String {
    format!("[{number}](https://www.rfc-editor.org/rfc/rfc{number})")
}

fn sections(named: &Named) -> String {
    let words =
        |section: &Section| section.0.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    named.sections.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn places(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

/// Whether `text` says an extension's word, and not a longer one.
fn says(text: &str, keyword: &str) -> bool {
    let is_part = |octet: Option<&u8>| {
        octet.is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'-' || *it == b'_')
    };
    !keyword.is_empty()
        && text.match_indices(keyword).any(|(at, _)| {
            // EHLO's reply says `250-DSN`.
            let is_begun = text
                .get(..at)
                .is_some_and(|head| head.ends_with("250-") || !is_part(head.as_bytes().last()));
            is_begun && !is_part(text.as_bytes().get(at.saturating_add(keyword.len())))
        })
}

/// The transcripts and black-box tests: their names and texts.
fn tests() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for folder in ["crates/smtp-session/tests", "tests/it"] {
        for entry in std::fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "smtp" || end == "rs") {
                found.push((name(&path), std::fs::read_to_string(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Each `RFC 5321 §4.5.3` in a text; of `RFC 5321 §4.1.1, §4.5` both.
fn references(text: &str) -> Vec<(u32, Option<Section>)> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("RFC ") {
        let rest = text.get(at.saturating_add(mark.len())..).unwrap_or_default();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, mut rest) = rest.split_at(digits);
        let Ok(number) = number.parse() else { continue };
        found.push((number, None));
        while let Some(behind) = behind_mark(rest) {
            let end =
                behind.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(behind.len());
            let (section, left) = behind.split_at(end);
            let parts = section.trim_end_matches('.').split('.').map(str::parse).collect();
            let Ok(parts) = parts else { break };
            found.push((number, Some(Section(parts))));
            rest = left;
        }
    }
    found
}

/// What stands behind the next `§`, if only a comma or `and` is before it.
fn behind_mark(text: &str) -> Option<&str> {
    let text = text.trim_start_matches([',', ' ']);
    text.strip_prefix("and ").unwrap_or(text).strip_prefix('§')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_with_their_sections() {
        let text = "RFC 5321 §4.1.1, §4.5.3. And (RFC 2033); RFC 3461 §5.2.7 and §6.3.";
        let found: Vec<_> = references(text)
            .into_iter()
            .map(|(number, section)| (number, section.map(|it| it.0)))
            .collect();
        let section = |number, parts: &[u32]| (number, Some(parts.to_vec()));
        assert_eq!(
            found,
            [
                (5321, None),
                section(5321, &[4, 1, 1]),
                section(5321, &[4, 5, 3]),
                (2033, None),
                (3461, None),
                section(3461, &[5, 2, 7]),
                section(3461, &[6, 3]),
            ]
        );
    }

    #[test]
    fn a_word_is_not_a_part_of_another() {
        assert!(says("S: 250-DSN\n", "DSN") && says("DSN", "DSN"));
        assert!(!says("NODSN DSN-X DSNS", "DSN") && !says("x", ""));
    }
}
