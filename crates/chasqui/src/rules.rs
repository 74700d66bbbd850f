//! Rules and their groups, made ready for use.

use std::collections::{HashMap, HashSet};

use policy::config::Group;
use policy::{Known, Members, RuleProblem, Rules};
use settings::{Finding, Settings};

/// Reads the groups' files and compiles the rules.
///
/// # Errors
/// All that is wrong, with its place.
pub(crate) fn compiled(settings: &Settings) -> Result<Rules, Vec<Finding>> {
    let (mut groups, mut findings) = (HashMap::new(), Vec::new());
    for (number, group) in settings.group.iter().enumerate() {
        match members(group) {
            Ok(members) => drop(groups.insert(Box::from(group.name.as_str()), members)),
            Err((key, error, hint)) => {
                findings.push(Finding::in_item("group", number, key, error).hint(hint));
            }
        }
    }
    let names = |all: &mut dyn Iterator<Item = &String>| -> HashSet<Box<str>> {
        all.map(|name| name.as_str().into()).collect()
    };
    let known = Known {
        groups,
        outbound_connectors: names(&mut settings.outbound.iter().map(|it| &it.name)),
        inbound_connectors: names(&mut settings.inbound.iter().map(|it| &it.name)),
        listeners: names(&mut settings.listener.iter().map(|it| &it.name)),
    };
    let compiled = Rules::compile(&settings.rule, known);
    let problems = compiled.as_ref().err().into_iter().flatten();
    findings.extend(problems.map(finding));
    match compiled {
        Ok(rules) if findings.is_empty() => Ok(rules),
        _ => Err(findings),
    }
}

fn finding(problem: &RuleProblem) -> Finding {
    let RuleProblem { rule, key, words, hint } = problem;
    let key = if key.is_empty() { "name" } else { key };
    Finding::in_item("rule", *rule, key, words.as_str()).hint(hint.as_str())
}

/// The rules that can never apply.
pub(crate) fn odd(rules: &Rules) -> Vec<Finding> {
    rules.warnings().iter().map(finding).collect()
}

type Wrong = (&'static str, String, &'static str);

fn members(group: &Group) -> Result<Members, Wrong> {
    let mut members = Members::default();
    for member in &group.members {
        members.insert(member).map_err(|error| {
            (
                "members",
                error.to_string(),
                "write an address, `@` and a domain, or `*.` and a domain",
            )
        })?;
    }
    if let Some(file) = &group.file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let words = format!("{} cannot be read: {error}", file.display());
            ("file", words, "name a file with one address a line")
        })?;
        members.insert_lines(&text).map_err(|error| {
            let words = format!("{}: {error}", file.display());
            ("file", words, "write one address, `@` and a domain, or `*.` and a domain a line")
        })?;
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use policy::config::{Actions, Rule};

    use super::*;

    #[test]
    fn what_is_wrong_with_groups_and_rules_has_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("staff");
        std::fs::write(&file, "a@x.example\n\nno address\n").unwrap();
        let group = |name: &str, members: &[&str], file| Group {
            name: name.to_owned(),
            members: members.iter().map(ToString::to_string).collect(),
            file,
        };
        let then = Actions { route: Some("nowhere".to_owned()), ..Actions::default() };
        let rule = Rule { name: "one".to_owned(), then, ..Rule::default() };
        let settings = Settings {
            group: vec![
                group("good", &["a@x.example", "@y.example"], None),
                group("bad", &["x y"], None),
                group("file", &[], Some(file)),
                group("gone", &[], Some(folder.path().join("missing"))),
            ],
            rule: vec![rule],
            ..Settings::default()
        };
        let seen = format!("{:?}", compiled(&settings).unwrap_err());
        for want in ["`x y` is not", "staff: line 3", "missing cannot be read", "nowhere"] {
            assert!(seen.contains(want), "{want}: {seen}");
        }
    }
}
