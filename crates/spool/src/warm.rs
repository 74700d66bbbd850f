//! Fresh messages in memory, so that what goes out at once is not read back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use mail::{MessageId, Recipient};
use parking_lot::Mutex;

use crate::record::envelope::Message;
use crate::state::{Owed, RecipientState};

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
        RecipientState::Settled { reply, owed, .. } => {
            let owed = owed.as_ref().map_or(0, |owed| {
                let host = owed.peer.as_ref().map_or(0, |peer| peer.host.len());
                size_of::<Owed>() + host
            });
            reply.len() + owed
        }
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
        let Fresh { message, recipients, .. } = Arc::make_mut(fresh);
        let count = message.envelope.recipients.len();
        let (mut more, mut less) = (0, 0);
        let known = recipients.get_or_insert_with(|| {
            let state = message.fresh_state();
            more = count * state_octets(&state);
            vec![state; count]
        });
        // Only what changes is looked at: a message of many recipients may be settled one by one.
        for (recipient, state) in states {
            let place = usize::try_from(*recipient).ok().and_then(|at| known.get_mut(at));
            if let Some(place) = place {
                less += state_octets(place);
                more += state_octets(state);
                place.clone_from(state);
            }
        }
        shard.octets = (shard.octets + more).saturating_sub(less);
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
    use mail::{Address, Envelope, OriginalRecipient, Timestamp};

    use super::*;

    /// What is counted while a message is settled is what is given back with it.
    #[test]
    fn the_count_of_octets_comes_back_to_nothing() {
        let warm = Warm::new(1 << 20);
        let id = MessageId::new(1, 1);
        let recipient = || Recipient::from(Address::parse("a@b.example").unwrap());
        let envelope = Envelope {
            sender: mail::ReversePath::Null,
            recipients: (0..3).map(|_| recipient()).collect(),
            body_type: mail::BodyType::SevenBit,
            needs_smtputf8: false,
            wishes: mail::Wishes::default(),
            origin: mail::Origin {
                client: None,
                helo: "".into(),
                listener: "".into(),
                connector: "".into(),
                tls: None,
                login: None,
            },
            directions: None,
        };
        let message = Message {
            envelope: Arc::new(envelope),
            received_at: Timestamp::from_millis(1),
            octets: 2,
            place: crate::record::envelope::Place::Inline,
        };
        warm.insert(id, Fresh { message, body: Some("hi".into()), recipients: None });
        let settled = |owed| RecipientState::Settled {
            fate: mail::Fate::Delivered,
            at: Timestamp::from_millis(1),
            reply: "250 ok".into(),
            owed,
        };
        let before = warm.octets();
        let owed = Box::new(Owed { tries: 1, peer: None });
        warm.settle(id, &[(1, settled(Some(owed)))]);
        assert!(warm.octets() > before);
        warm.settle(id, &[(1, settled(None)), (9, settled(None))]);
        assert_eq!(warm.octets(), warm.load(id).unwrap().octets());
        warm.remove(id);
        assert_eq!(warm.octets(), 0);
    }

    #[test]
    fn what_a_client_chooses_the_length_of_counts() {
        let bare = Recipient::from(Address::parse("a@b.example").unwrap());
        let original = OriginalRecipient::new("rfc822", &"x".repeat(493));
        let named = Recipient { original, ..bare.clone() };
        let more = recipient_octets(&named) - recipient_octets(&bare);
        assert_eq!(more, OriginalRecipient::OCTETS_MAX);
    }
}
