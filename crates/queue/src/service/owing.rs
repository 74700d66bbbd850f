//! When the sender is told what was collected while an attempt goes on.

use mail::MessageId;

use super::Queue;
use crate::entries::Now;
use crate::owing::Owing;
use crate::work::{Reporting, Settled, Work};

impl Queue {
    /// Notes what the sender is owed of those that were taken; it is told at the end of the attempt, or now if that takes
    /// long or they are many. What is owed stands in the spool, so this may be forgotten.
    pub(super) fn owes(&mut self, settled: &Settled, now: Now) {
        let (id, owed) = (settled.settle.id, settled.reported.plan.owed);
        if owed == 0 && !self.owing.contains_key(&id) {
            return;
        }
        let owing = self.owing.entry(id).or_insert_with(|| Owing::new(now.instant));
        if owing.add(owed, now.instant) || !self.is_under_way(id) {
            self.report_owed(id);
        }
    }

    /// Tells the sender of a message what it is owed.
    pub(super) fn report_owed(&mut self, id: MessageId) {
        self.owing.remove(&id);
        self.begin(Work::Report(Box::new(Reporting::new(id))));
    }
}
