//! Which rules can apply to a message at all, found by hash look-ups instead of asking each.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;

use crate::config::SenderAddressLocation;
use crate::rules::bits::Bits;
use crate::rules::canonical::{ANY, Canonical};
use crate::rules::condition::{Asks, Names, Who};
use crate::rules::members::Members;
use crate::rules::rule::Rule;
use crate::rules::view::View;
use crate::rules::words::{Needle, Scanner};

/// What a rule can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sender,
    Recipient,
    Connector,
    Account,
    Listener,
    Class,
}

/// The one condition by which a rule is found.
enum Access<'a> {
    Who(Kind, &'a Who),
    Names(Kind, &'a Names),
    Needles(&'a [Needle]),
}

/// Rules by what they ask. A rule that is found may still not apply; one that is not found never does.
#[derive(Debug)]
pub(crate) struct Index {
    /// Rules that nothing can find.
    always: Bits,
    hasher: RandomState,
    /// Hashes of what is asked for, to a piece of `rules`.
    exact: HashMap<u64, Piece, BuildHasherDefault<AsItIs>>,
    rules: Box<[u32]>,
    /// Groups that would take too much room in `exact`.
    large: Vec<Large>,
    /// By scanner, then by needle.
    needles: Vec<Vec<Vec<u32>>>,
    asks_recipients: bool,
    /// Where senders are looked for; none if they are not.
    senders: Option<SenderAddressLocation>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    length: u32,
}

#[derive(Debug)]
struct Large {
    kind: Kind,
    members: Arc<Members>,
    rule: u32,
}

/// Larger sets are asked themselves.
const EXPANDED_MAX: usize = 4096;

impl Index {
    /// Finds the best way to each rule.
    pub(crate) fn new(rules: &[Rule], scanners: &[Scanner]) -> Self {
        let mut index = Self {
            always: Bits::new(rules.len()),
            hasher: RandomState::new(),
            exact: HashMap::default(),
            rules: Box::default(),
            large: Vec::new(),
            needles: scanners.iter().map(|scanner| vec![Vec::new(); scanner.needles()]).collect(),
            asks_recipients: false,
            senders: None,
        };
        let mut entries = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let number = u32::try_from(place).unwrap_or(u32::MAX);
            match access(rule) {
                None => index.always.set(place),
                Some(Access::Needles(needles)) => index.add_needles(needles, number),
                Some(Access::Names(kind, names)) => {
                    let hashes = names.iter().map(|name| index.hash(kind, name));
                    entries.extend(hashes.map(|hash| (hash, number)));
                }
                Some(Access::Who(kind, who)) => {
                    index.note(kind, rule);
                    for members in who {
                        index.add_members(kind, members, number, &mut entries);
                    }
                }
            }
        }
        index.fill(entries);
        index
    }

    /// The rules that may apply.
    pub(crate) fn candidates(&self, view: &View<'_>) -> Bits {
        let mut found = self.always.clone();
        if let Some(location) = self.senders {
            for sender in view.senders(location) {
                self.find_address(Kind::Sender, sender, &mut found);
            }
        }
        if self.asks_recipients {
            for recipient in view.recipients() {
                self.find_address(Kind::Recipient, recipient, &mut found);
            }
        }
        let facts = view.facts;
        self.find(Kind::Connector, facts.connector, &mut found);
        self.find(Kind::Listener, facts.listener, &mut found);
        if let Some(account) = facts.account {
            self.find(Kind::Account, account, &mut found);
        }
        if let Some(class) = facts.class {
            self.find(Kind::Class, class, &mut found);
        }
        for (scanner, needles) in self.needles.iter().enumerate() {
            let is_asked = needles.iter().any(|rules| !rules.is_empty());
            let hits = is_asked.then(|| view.hits(scanner)).flatten();
            let hits = hits.into_iter().flat_map(Bits::numbers);
            for rule in hits.filter_map(|needle| needles.get(needle)).flatten() {
                found.set(*rule as usize);
            }
        }
        found
    }

    fn find_address(&self, kind: Kind, who: &Canonical, found: &mut Bits) {
        for key in who.keys() {
            self.find(kind, key, found);
        }
        for large in self.large.iter().filter(|large| large.kind == kind) {
            if !found.has(large.rule as usize) && large.members.contains(who) {
                found.set(large.rule as usize);
            }
        }
    }

    fn find(&self, kind: Kind, key: &str, found: &mut Bits) {
        let Some(piece) = self.exact.get(&self.hash(kind, key)) else { return };
        let rules = self.rules.get(piece.start as usize..).unwrap_or_default();
        for rule in rules.iter().take(piece.length as usize) {
            found.set(*rule as usize);
        }
    }

    fn hash(&self, kind: Kind, key: &str) -> u64 {
        self.hasher.hash_one((kind, key))
    }

    fn note(&mut self, kind: Kind, rule: &Rule) {
        if kind == Kind::Recipient {
            self.asks_recipients = true;
            return;
        }
        self.senders = Some(match self.senders {
            Some(location) if location != rule.location => SenderAddressLocation::HeaderOrEnvelope,
            _ => rule.location,
        });
    }

    fn add_members(
        &mut self,
        kind: Kind,
        members: &Arc<Members>,
        rule: u32,
        entries: &mut Vec<(u64, u32)>,
    ) {
        if members.len() > EXPANDED_MAX {
            self.large.push(Large { kind, members: Arc::clone(members), rule });
        } else {
            entries.extend(members.entries().map(|entry| (self.hash(kind, entry), rule)));
        }
    }

    fn add_needles(&mut self, needles: &[Needle], rule: u32) {
        for needle in needles {
            let rules = self.needles.get_mut(needle.scanner);
            if let Some(rules) = rules.and_then(|it| it.get_mut(needle.number)) {
                rules.push(rule);
            }
        }
    }

    fn fill(&mut self, mut entries: Vec<(u64, u32)>) {
        entries.sort_unstable();
        entries.dedup();
        self.rules = entries.iter().map(|(_, rule)| *rule).collect();
        let mut start = 0;
        for same in entries.chunk_by(|(one, _), (next, _)| one == next) {
            let length = u32::try_from(same.len()).unwrap_or(u32::MAX);
            if let Some((hash, _)) = same.first() {
                self.exact.insert(*hash, Piece { start, length });
            }
            start = start.saturating_add(length);
        }
        self.exact.shrink_to_fit();
    }
}

/// The narrowest condition that finds the rule, if one can.
fn access(rule: &Rule) -> Option<Access<'_>> {
    let is_any = |who: &Who| who.iter().any(|members| members.has_entry(ANY));
    let rank = |access: &Access<'_>| match access {
        Access::Who(_, who) if is_any(who) => usize::MAX,
        Access::Who(_, who) => {
            who.iter().map(|members| members.len()).sum::<usize>() / EXPANDED_MAX
        }
        Access::Names(..) => 1,
        Access::Needles(_) => 2,
    };
    let of_recipients = rule.recipients_when.iter().map(|it| Access::Who(Kind::Recipient, &it.who));
    let of_message = rule.when.iter().filter_map(|condition| match &condition.asks {
        Asks::Sender(who, _) => Some(Access::Who(Kind::Sender, who)),
        Asks::Connector(names) => Some(Access::Names(Kind::Connector, names)),
        Asks::Listener(names) => Some(Access::Names(Kind::Listener, names)),
        Asks::Class(names) => Some(Access::Names(Kind::Class, names)),
        Asks::Account(names) if names.iter().all(|name| !name.starts_with('*')) => {
            Some(Access::Names(Kind::Account, names))
        }
        Asks::Header(needles) => Some(Access::Needles(needles)),
        _ => None,
    });
    of_message.chain(of_recipients).min_by_key(rank)
}

/// Keys that are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
