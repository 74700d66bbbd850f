//! All that is measured.

mod codec;
mod content;
mod record;
mod router;
mod rules;
mod schedule;
mod session;

use crate::case::Case;

/// Every case, in the order of a message's way; the cases of a group follow each other.
pub fn all() -> Vec<Case> {
    [
        codec::cases(),
        content::cases(),
        session::cases(),
        record::cases(),
        router::cases(),
        rules::cases(),
        schedule::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::case::Measured;

    #[test]
    fn each_case_can_be_run_again_and_again() {
        for case in all().iter().filter(|case| case.measured == Measured::Always) {
            let mut turn = case.prepare();
            for _ in 0..3 {
                turn();
            }
        }
    }

    #[test]
    fn names_are_unique_and_groups_are_in_one_place() {
        let cases = all();
        let names: BTreeSet<_> = cases.iter().map(Case::name).collect();
        assert_eq!(names.len(), cases.len());
        let groups: BTreeSet<_> = cases.iter().map(|case| case.group).collect();
        assert_eq!(cases.chunk_by(|one, next| one.group == next.group).count(), groups.len());
    }
}
