//! Which recipient or message meets which fault: settled by the script and the seed, so that counts are exact.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use parking_lot::Mutex;

use crate::load::{Load, Recipients};
use crate::random::{Throw, share};
use crate::sink::script::{DomainClass, SinkScript, Stage};

/// The script, ready to be asked. Classes are numbered as in the plan: 0 is without faults.
pub(crate) struct Faults {
    seed: u64,
    classes: Vec<DomainClass>,
    /// How often each recipient or message met a fault that ends after some tries.
    tries: Mutex<HashMap<(Kind, u64), u32>>,
}

/// What tries are counted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Rcpt,
    Content,
    Cut,
}

/// What a recipient or content meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    /// 451.
    Defer,
    /// 550 or 554.
    Reject,
}

impl Faults {
    /// # Errors
    /// If a class makes no sense; the error names the key.
    pub(crate) fn new(script: &SinkScript, load: &Load) -> anyhow::Result<Self> {
        for class in &script.classes {
            check(class, load).with_context(|| format!("sink.domain {}", class.name))?;
        }
        let classes = script.classes.clone();
        Ok(Self { seed: load.seed, classes, tries: Mutex::default() })
    }

    /// The script of a class; none for class 0.
    pub(crate) fn class(&self, class: usize) -> Option<&DomainClass> {
        self.classes.get(class.checked_sub(1)?)
    }

    /// How long a class waits before it answers.
    pub(crate) fn reply_wait(&self, class: usize) -> Duration {
        self.class(class).map_or(Duration::ZERO, |class| class.reply_wait.as_duration())
    }

    /// What RCPT is answered at this try; `slot` tells recipients apart.
    pub(crate) fn rcpt(&self, class: usize, slot: u64) -> Answer {
        let Some(script) = self.class(class) else { return Answer::Take };
        if self.hits(slot, Throw::RcptRejected, script.rcpt_rejected) {
            return Answer::Reject;
        }
        let is_deferred = script.greylisting && self.is_tried_less(Kind::Rcpt, slot, 1)
            || self.hits(slot, Throw::RcptDeferred, script.rcpt_deferred)
                && self.is_tried_less(Kind::Rcpt, slot, script.fault_tries);
        if is_deferred { Answer::Defer } else { Answer::Take }
    }

    /// What the content of message `number` is answered at this try; `slot` is that of the first recipient.
    pub(crate) fn content(&self, class: usize, number: u64, slot: u64) -> Answer {
        let Some(script) = self.class(class) else { return Answer::Take };
        if self.hits(number, Throw::ContentRejected, script.content_rejected) {
            return Answer::Reject;
        }
        let is_deferred = self.hits(number, Throw::ContentDeferred, script.content_deferred)
            && self.is_tried_less(Kind::Content, slot, script.fault_tries);
        if is_deferred { Answer::Defer } else { Answer::Take }
    }

    /// Whether the connection is cut at `stage` at this try of message `number`; `slot` is of one recipient.
    pub(crate) fn is_cut(&self, class: usize, stage: Stage, number: u64, slot: u64) -> bool {
        self.class(class).is_some_and(|script| {
            script.disconnect == Some(stage)
                && self.hits(number, Throw::Disconnect, script.disconnect_share)
                && self.is_tried_less(Kind::Cut, slot, script.fault_tries)
        })
    }

    /// Whether the script never takes that recipient, so that it is not the relay's fault if it gets nothing.
    pub(crate) fn is_withheld(&self, class: usize, number: u64, slot: u64) -> bool {
        let Some(script) = self.class(class) else { return false };
        let is_cut_off = script.disconnect.is_some_and(|stage| stage < Stage::Mail);
        let is_for_ever = script.fault_tries == 0
            && (self.hits(slot, Throw::RcptDeferred, script.rcpt_deferred)
                || self.hits(number, Throw::ContentDeferred, script.content_deferred)
                || script.disconnect.is_some()
                    && self.hits(number, Throw::Disconnect, script.disconnect_share));
        is_cut_off || is_for_ever
    }

    fn hits(&self, number: u64, throw: Throw, wanted: f64) -> bool {
        wanted > 0.0 && share(self.seed, number, throw) < wanted
    }

    /// Counts a try; says whether there were fewer than `most` before. 0 is no end.
    fn is_tried_less(&self, kind: Kind, slot: u64, most: u32) -> bool {
        if most == 0 {
            return true;
        }
        let mut tries = self.tries.lock();
        let tries = tries.entry((kind, slot)).or_default();
        *tries += 1;
        *tries <= most
    }
}

fn check(class: &DomainClass, load: &Load) -> anyhow::Result<()> {
    for (key, share) in [
        ("rcpt_rejected", class.rcpt_rejected),
        ("rcpt_deferred", class.rcpt_deferred),
        ("content_rejected", class.content_rejected),
        ("content_deferred", class.content_deferred),
        ("disconnect_share", class.disconnect_share),
    ] {
        ensure!((0.0..=1.0).contains(&share), "{key} = {share} is not a share from 0 to 1");
    }
    if class.own_next_hop {
        return Ok(());
    }
    ensure!(class.connections_max == 0, "connections_max needs own_next_hop");
    let is_early = class.disconnect.is_some_and(|stage| stage <= Stage::Mail);
    ensure!(!is_early, "a disconnect before RCPT needs own_next_hop");
    // Recipients of other classes in the same transaction would meet the fault too, and count as lost.
    let is_for_message =
        class.content_rejected + class.content_deferred > 0.0 || class.disconnect.is_some();
    ensure!(
        !is_for_message || load.recipients == Recipients::Fixed(1),
        "where messages have several recipients, faults of content and disconnects need own_next_hop"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(class: DomainClass) -> Faults {
        let script = SinkScript { classes: vec![class], ..SinkScript::default() };
        Faults::new(&script, &Load::default()).unwrap()
    }

    fn count(answer: impl Fn(u64) -> bool) -> usize {
        (0..1_000).filter(|number| answer(*number)).count()
    }

    #[test]
    fn shares_repeat_and_those_rejected_stay_so() {
        let faults = faults(DomainClass { rcpt_rejected: 0.2, ..DomainClass::default() });
        let first = count(|slot| faults.rcpt(1, slot) == Answer::Reject);
        assert!((160..240).contains(&first), "{first}");
        assert_eq!(count(|slot| faults.rcpt(1, slot) == Answer::Reject), first);
        assert_eq!(count(|slot| faults.rcpt(0, slot) != Answer::Take), 0, "the good ones");
    }

    #[test]
    fn deferrals_end_after_their_tries() {
        let script = DomainClass { content_deferred: 1.0, fault_tries: 2, ..Default::default() };
        let faults = faults(script);
        let answers = [0; 3].map(|_| faults.content(1, 7, 7));
        assert_eq!(answers, [Answer::Defer, Answer::Defer, Answer::Take]);
        assert!(!faults.is_withheld(1, 7, 7));
    }

    #[test]
    fn greylisting_defers_each_recipient_once() {
        let faults = faults(DomainClass { greylisting: true, ..DomainClass::default() });
        assert_eq!(count(|slot| faults.rcpt(1, slot) == Answer::Defer), 1_000);
        assert_eq!(count(|slot| faults.rcpt(1, slot) == Answer::Take), 1_000);
    }

    #[test]
    fn what_is_deferred_for_ever_is_withheld() {
        let script = DomainClass { rcpt_deferred: 0.5, fault_tries: 0, ..DomainClass::default() };
        let faults = faults(script);
        for slot in 0..100 {
            let is_deferred = [0; 5].map(|_| faults.rcpt(1, slot) == Answer::Defer);
            assert_eq!(is_deferred, [faults.is_withheld(1, slot, slot); 5]);
        }
        let dead = DomainClass {
            own_next_hop: true,
            disconnect: Some(Stage::Greeting),
            ..DomainClass::default()
        };
        assert!(
            Faults::new(
                &SinkScript { classes: vec![dead], ..SinkScript::default() },
                &Load::default()
            )
            .unwrap()
            .is_withheld(1, 3, 3)
        );
    }

    #[test]
    fn scripts_without_sense_are_refused() {
        let one = DomainClass::default();
        let several = Load { recipients: Recipients::Fixed(2), ..Load::default() };
        for (bad, load) in [
            (DomainClass { rcpt_deferred: 1.5, ..one.clone() }, Load::default()),
            (DomainClass { connections_max: 1, ..one.clone() }, Load::default()),
            (DomainClass { disconnect: Some(Stage::Mail), ..one.clone() }, Load::default()),
            (DomainClass { content_rejected: 0.1, ..one.clone() }, several),
        ] {
            assert!(check(&bad, &load).is_err(), "{bad:?}");
        }
    }
}
