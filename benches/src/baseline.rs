//! Accepted instruction counts, and what has changed since.

use std::collections::BTreeMap;
use std::fmt;

/// Instructions per turn, by the name of a case.
pub type Counts = BTreeMap<String, u64>;

/// The accepted counts, by toolchain: other compilers, C libraries and vector units count otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline(BTreeMap<String, Counts>);

/// So much growth fails.
const GROWTH_PERMILLE_MAX: i128 = 50;

const HEAD: &str = "\
# Instructions of one turn of each case, by toolchain. `make bench` compares with these, `make bench-accept` writes them.

";

impl Baseline {
    /// Reads the file.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text).map(Self)
    }

    /// What was accepted for `toolchain`, if anything was.
    pub fn accepted(&self, toolchain: &str) -> Option<&Counts> {
        self.0.get(toolchain)
    }

    /// Accepts new counts for `toolchain`; the cases that they do not name keep theirs.
    pub fn accept(&mut self, toolchain: &str, counts: Counts) {
        self.0.entry(toolchain.to_owned()).or_default().extend(counts);
    }

    /// Forgets the cases of `toolchain` that are no more.
    pub fn retain(&mut self, toolchain: &str, exists: impl Fn(&str) -> bool) {
        if let Some(counts) = self.0.get_mut(toolchain) {
            counts.retain(|name, _| exists(name));
        }
    }

    /// The file's new text.
    pub fn text(&self) -> Result<String, toml::ser::Error> {
        Ok(format!("{HEAD}{}", toml::to_string(&self.0)?))
    }
}

/// The counts of a run beside those accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison(Vec<Row>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    name: String,
    before: Option<u64>,
    now: u64,
}

impl Comparison {
    /// Compares `now`, in its order, with what was accepted.
    pub fn new(accepted: Option<&Counts>, now: &[(String, u64)]) -> Self {
        let before = |name: &String| accepted.and_then(|counts| counts.get(name)).copied();
        let row = |(name, now): &(String, u64)| Row {
            name: name.clone(),
            before: before(name),
            now: *now,
        };
        Self(now.iter().map(row).collect())
    }

    /// How many cases cost too much more than before.
    pub fn regressions(&self) -> usize {
        self.0.iter().filter(|row| row.is_regression()).count()
    }
}

impl Row {
    /// None without a figure from before.
    fn growth_permille(&self) -> Option<i128> {
        let before = i128::from(self.before?);
        Some((i128::from(self.now) - before) * 1000 / before.max(1))
    }

    fn is_regression(&self) -> bool {
        self.growth_permille().is_some_and(|growth| growth > GROWTH_PERMILLE_MAX)
    }
}

impl fmt::Display for Comparison {
    /// A table with a line for each case.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<36}{:>12}{:>12}{:>11}", "instructions", "before", "now", "change")?;
        for row in &self.0 {
            let Some((before, growth)) = row.before.zip(row.growth_permille()) else {
                writeln!(out, "{:<36}{:>12}{:>12}{:>11}", row.name, "-", row.now, "new")?;
                continue;
            };
            let sign = if growth < 0 { '-' } else { '+' };
            let change = format!("{sign}{}.{} %", growth.abs() / 10, growth.abs() % 10);
            let mark = if row.is_regression() { "  <- too much" } else { "" };
            writeln!(out, "{:<36}{before:>12}{:>12}{change:>11}{mark}", row.name, row.now)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn baseline(toolchain: &str, accepted: &[(&str, u64)]) -> Baseline {
        let mut baseline = Baseline::default();
        baseline.accept(toolchain, counts(accepted).into_iter().collect());
        baseline
    }

    #[test]
    fn a_twentieth_more_is_too_much() {
        let baseline = baseline("here", &[("a/1", 1000)]);
        for (now, regressions, change) in [
            (1050, 0, "+5.0 %"),
            (1051, 1, "+5.1 %  <- too much"),
            (900, 0, "-10.0 %"),
            (999, 0, "-0.1 %"),
        ] {
            let comparison = Comparison::new(baseline.accepted("here"), &counts(&[("a/1", now)]));
            assert_eq!(comparison.regressions(), regressions, "{now}");
            assert!(comparison.to_string().contains(change), "{comparison}");
        }
    }

    #[test]
    fn without_figures_from_before_nothing_fails() {
        let baseline = baseline("here", &[("a/1", 1)]);
        for (toolchain, name) in [("here", "a/2"), ("there", "a/1")] {
            let comparison = Comparison::new(baseline.accepted(toolchain), &counts(&[(name, 9)]));
            assert_eq!(comparison.regressions(), 0);
            assert!(comparison.to_string().contains("new"), "{comparison}");
        }
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let mut baseline = baseline("rustc 1, glibc 2", &[("a/1", 1), ("b/x y", 20)]);
        baseline.accept("another", Counts::new());
        assert_eq!(Baseline::read(&baseline.text().unwrap()).unwrap(), baseline);
    }

    #[test]
    fn accepting_some_keeps_the_others_that_still_exist() {
        let mut baseline = baseline("here", &[("a", 1), ("b", 2), ("gone", 3)]);
        baseline.accept("here", counts(&[("b", 5)]).into_iter().collect());
        baseline.retain("here", |name| name != "gone");
        let want: Counts = counts(&[("a", 1), ("b", 5)]).into_iter().collect();
        assert_eq!(baseline.accepted("here"), Some(&want));
    }
}
