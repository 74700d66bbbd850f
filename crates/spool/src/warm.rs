//! Fresh messages in memory, so that what goes out at once is not read back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use mail::{MessageId, Recipient};
use parking_lot::Mutex;

use crate::record::envelope::Message;
use crate::state::RecipientState;

const SHARDS: usize = 16;
/// What an entry takes besides content and addresses, about.
const ENTRY_OCTETS: usize = 512;

/// A fresh message.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) message: Message,
    /// The content, if it is in the database; segment files are read through the page cache.
    pub(crate) body: Option<Bytes>,
    /// Where its recipients stand; none if nothing was written about them.
    pub(crate) recipients: Option<Vec<RecipientState>>,
}

impl Fresh {
    fn octets(&self) -> usize {
        let recipients = self.message.envelope.recipients.iter();
        let addresses: usize = recipients.map(recipient_octets).sum();
        let states: usize = self.recipients.iter().flatten().map(state_octets).sum();
        ENTRY_OCTETS + addresses + states + self.body.as_ref().map_or(0, Bytes::len)
    }
}

/// What its sender named it first counts: that may be longer than an address is.
fn recipient_octets(recipient: &Recipient) -> usize {
    let original = recipient.original.as_ref().map_or(0, |it| it.as_str().len());
    recipient.address.as_str().len() + original + 64
}

/// What next hops said counts: it is theirs to choose how long that is.
fn state_octets(state: &RecipientState) -> usize {
    let words = match state {
        RecipientState::Waiting { last, .. } => last.as_ref().map_or(0, |last| last.len()),
        RecipientState::Settled { reply, .. } => reply.len(),
    };
    size_of::<RecipientState>() + words
}

/// The fresh messages, oldest out first.
#[derive(Debug)]
pub(crate) struct Warm {
    shards: [Mutex<Shard>; SHARDS],
    octets_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<MessageId, Arc<Fresh>>,
    /// By age; holds ids that are gone, too, and is swept when most are.
    order: VecDeque<MessageId>,
    octets: usize,
}

impl Warm {
    pub(crate) fn new(octets_max: usize) -> Self {
        Self { shards: Default::default(), octets_max: octets_max / SHARDS }
    }

    fn shard(&self, id: MessageId) -> &Mutex<Shard> {
        let last = id.to_bytes().last().copied().unwrap_or_default();
        let [first, ..] = &self.shards;
        self.shards.get(usize::from(last) % SHARDS).unwrap_or(first)
    }

    pub(crate) fn insert(&self, id: MessageId, fresh: Fresh) {
        let octets = fresh.octets();
        if octets > self.octets_max {
            return;
        }
        let mut shard = self.shard(id).lock();
        shard.octets += octets;
        shard.entries.insert(id, Arc::new(fresh));
        shard.order.push_back(id);
        shard.lessen_to(self.octets_max);
    }

    pub(crate) fn load(&self, id: MessageId) -> Option<Arc<Fresh>> {
        self.shard(id).lock().entries.get(&id).map(Arc::clone)
    }

    pub(crate) fn remove(&self, id: MessageId) {
        let mut shard = self.shard(id).lock();
        shard.remove(id);
        if shard.order.len() > 2 * shard.entries.len() + 64 {
            let Shard { entries, order, .. } = &mut *shard;
            order.retain(|id| entries.contains_key(id));
        }
    }

    /// Notes where recipients stand now, if the message is here.
    pub(crate) fn settle(&self, id: MessageId, states: &[(u32, RecipientState)]) {
        let mut shard = self.shard(id).lock();
        let Some(fresh) = shard.entries.get_mut(&id) else { return };
        let fresh = Arc::make_mut(fresh);
        let before = fresh.octets();
        let count = fresh.message.envelope.recipients.len();
        let Fresh { message, recipients, .. } = fresh;
        let known = recipients.get_or_insert_with(|| vec![message.fresh_state(); count]);
        for (recipient, state) in states {
            let place = usize::try_from(*recipient).ok().and_then(|at| known.get_mut(at));
            if let Some(place) = place {
                place.clone_from(state);
            }
        }
        let after = fresh.octets();
        shard.octets = (shard.octets + after).saturating_sub(before);
        shard.lessen_to(self.octets_max);
    }

    /// Octets held.
    pub(crate) fn octets(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().octets).sum()
    }
}

impl Shard {
    fn lessen_to(&mut self, octets_max: usize) {
        while self.octets > octets_max {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, id: MessageId) {
        if let Some(fresh) = self.entries.remove(&id) {
            self.octets = self.octets.saturating_sub(fresh.octets());
        }
    }
}

#[cfg(test)]
mod tests {
    use mail::{Address, OriginalRecipient};

    use super::*;

    #[test]
    fn what_a_client_chooses_the_length_of_counts() {
        let bare = Recipient::from(Address::parse("a@b.example").unwrap());
        let original = OriginalRecipient::new("rfc822", &"x".repeat(493));
        let named = Recipient { original, ..bare.clone() };
        let more = recipient_octets(&named) - recipient_octets(&bare);
        assert_eq!(more, OriginalRecipient::OCTETS_MAX);
    }
}
