//! Rounds in which relays take turns, so that what changes on the machine meets all of them.

use crate::bench::{Bench, Subject};
use crate::device::{self, Effort};
use crate::facts::DeviceRound;
use crate::load::SourceTls;
use crate::pace::Pace;
use crate::peer::Chosen;
use crate::peer::values::unable;
use crate::run::Run;
use crate::scenario::Scenario;

/// What is compared.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) peers: &'a [Chosen],
    pub(crate) scenarios: &'a [Scenario],
    pub(crate) rounds: u32,
    /// How often a scenario's part of a round is repeated because others used the machine.
    pub(crate) repeats: u32,
    /// How much of each round goes to the device alone.
    pub(crate) effort: Effort,
}

/// What came of all rounds so far.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) runs: Vec<Run>,
    pub(crate) device: Vec<DeviceRound>,
}

impl Comparison {
    /// Tries the device, then runs each scenario against each relay.
    pub(crate) fn add_round(
        &mut self,
        bench: &Bench<'_>,
        plan: &Plan<'_>,
        round: u32,
    ) -> anyhow::Result<()> {
        let probes = device::probe(bench.folder, &bench.clock, plan.effort)?;
        self.device.push(DeviceRound { round, probes });
        for scenario in plan.scenarios {
            let runs = until_quiet(plan.repeats, |attempt| {
                turns(plan, scenario, round)
                    .into_iter()
                    .map(|subject| bench.run(scenario, subject, (round, attempt)))
                    .collect()
            })?;
            self.runs.extend(runs);
        }
        Ok(())
    }
}

/// All attempts' runs: one attempt, and further ones up to `repeats` while a run of the last was noisy.
fn until_quiet(
    repeats: u32,
    mut attempt_runs: impl FnMut(u32) -> anyhow::Result<Vec<Run>>,
) -> anyhow::Result<Vec<Run>> {
    let mut all = Vec::new();
    for attempt in 1..=repeats.saturating_add(1) {
        let runs = attempt_runs(attempt)?;
        let is_quiet = runs.iter().all(|run| !run.noisy);
        all.extend(runs);
        if is_quiet {
            break;
        }
    }
    Ok(all)
}

/// Who comes when in a round: each round begins with another relay.
fn turns<'a>(plan: &'a Plan<'_>, scenario: &Scenario, round: u32) -> Vec<Subject<'a>> {
    let able = plan.peers.iter().filter(|peer| unable(&peer.peer, scenario).is_none());
    let mut turns: Vec<_> = able.map(Subject::Peer).collect();
    if has_bound(scenario) {
        turns.push(Subject::Direct);
    }
    let first = (round as usize).saturating_sub(1) % turns.len().max(1);
    turns.rotate_left(first);
    turns
}

/// Whether source and sink alone show what the machine allows: where the sink is slow or failing by its script, or the
/// load comes at a set pace, they only show the script.
fn has_bound(scenario: &Scenario) -> bool {
    let (load, sink) = (&scenario.load, &scenario.sink);
    let is_willing = sink.reply_wait.as_duration().is_zero()
        && sink.down_for.as_duration().is_zero()
        && sink.down_until_accepted == 0
        && sink.defer_until_accepted == 0
        && sink.connections_max == 0
        && sink.classes.is_empty();
    // The sink offers STARTTLS where the script says so, and nothing else.
    let can_talk = load.login.is_none()
        && match load.tls {
            SourceTls::Off => true,
            SourceTls::Starttls => sink.tls,
            SourceTls::Implicit => false,
        };
    is_willing && can_talk && load.pace == Pace::CLOSED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[track_caller]
    fn check(repeats: u32, noisy_attempts: &[u32], want: &[(u32, bool)]) {
        let runs = until_quiet(repeats, |attempt| {
            let mut run = samples::run("one", 1, 1000.0);
            run.attempt = attempt;
            run.noisy = noisy_attempts.contains(&attempt);
            Ok(vec![run])
        });
        let runs: Vec<_> = runs.unwrap().iter().map(|run| (run.attempt, run.noisy)).collect();
        assert_eq!(runs, want);
    }

    #[test]
    fn what_others_disturbed_is_repeated() {
        check(2, &[], &[(1, false)]);
        check(2, &[1], &[(1, true), (2, false)]);
        check(2, &[1, 2, 3], &[(1, true), (2, true), (3, true)]);
        check(0, &[1], &[(1, true)]);
    }

    #[test]
    fn relays_take_turns_at_being_first() {
        let peers = ["chasqui", "postfix"].map(|name| Chosen::parse(name).unwrap());
        let scenarios = [Scenario::default()];
        let plan = Plan {
            peers: &peers,
            scenarios: &scenarios,
            rounds: 3,
            repeats: 0,
            effort: Effort::default(),
        };
        let order = |round| {
            let turns = turns(&plan, &scenarios[0], round);
            turns.iter().map(|turn| turn.label().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(order(1), ["chasqui", "postfix", "direct"]);
        assert_eq!(order(2), ["postfix", "direct", "chasqui"]);
        assert_eq!(order(4), order(1));
    }

    #[test]
    fn a_script_leaves_nothing_to_compare_with() {
        let mut scenario = Scenario::default();
        assert!(has_bound(&scenario));
        scenario.load.tls = SourceTls::Starttls;
        assert!(!has_bound(&scenario));
        scenario.sink.tls = true;
        assert!(has_bound(&scenario));
        scenario.sink.down_until_accepted = 5;
        assert!(!has_bound(&scenario));
        let mut paced = Scenario::default();
        paced.load.pace = Pace::Rate(100.0);
        assert!(!has_bound(&paced));
    }
}
