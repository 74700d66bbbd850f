//! One home for each thing: which crate may name which library, and who makes what.

use anyhow::Result;

use crate::source::Package;

/// A library and the only crates that may name it.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("rocksdb", &["spool"]),
    ("io-uring", &["spool"]),
    ("hickory-resolver", &["resolver", "auth"]),
    ("mail-auth", &["auth"]),
    ("cel", &["policy"]),
    ("toml_edit", &["settings"]),
    ("hickory-proto", &["resolver", "testkit"]),
    ("crossbeam-queue", &["channel"]),
    ("metrics", &["telemetry"]),
    ("metrics-exporter-prometheus", &["telemetry"]),
    ("rsasl", &["sasl"]),
    ("axum", &["admin"]),
    ("toml", &["settings", "sasl", "xtask"]),
    ("clap", &["chasqui", "xtask"]),
    ("anyhow", &["chasqui", "xtask"]),
];

/// What is used where it does not belong.
pub(crate) fn faults(package: &Package) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if !package.is_crate() {
        return Ok(faults);
    }
    let name = package.name.as_str();
    for (library, owners) in LIBRARIES {
        if package.uses.iter().any(|used| used == library) && !owners.contains(&name) {
            faults
                .push(format!("{name} may not name {library}: that is for {}", owners.join(", ")));
        }
    }
    // A 250 needs an `Accepted`, so whoever makes one must have put the message on the device. The sink answers 250
    // too, and promises nothing.
    if !matches!(name, "spool" | "mail" | "sink" | "xtask") {
        for file in package.files()? {
            let lines = file.text.lines().enumerate().filter(|(_, line)| makes_accepted(line));
            faults.extend(lines.map(|(number, _)| {
                format!(
                    "{name}/src/{}:{}: only spool makes an Accepted",
                    file.path.display(),
                    number + 1
                )
            }));
        }
    }
    Ok(faults)
}

fn makes_accepted(line: &str) -> bool {
    let line = line.trim_start();
    let Some(at) = line.find("Accepted {") else { return false };
    let before = line.get(..at).unwrap_or_default();
    let before = before.strip_suffix("mail::").unwrap_or(before);
    // Variants of other types and patterns are something else.
    let is_other = before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric());
    let is_pattern = line.starts_with("let ") || line.contains(".. }");
    let is_variant = line == "Accepted {";
    !is_other && !is_pattern && !is_variant && !line.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_making_counts() {
        for (line, want) in [
            ("    Ok(Accepted { id, envelope, received_at, octets })", true),
            ("    let accepted = mail::Accepted { id };", false),
            ("    Some(mail::Accepted { id, octets })", true),
            ("    let Accepted { id, .. } = accepted;", false),
            ("    Self::Accepted { id }", false),
            ("    // an Accepted { } is made there", false),
            ("    NotAccepted { id }", false),
        ] {
            assert_eq!(makes_accepted(line), want, "{line}");
        }
    }
}
