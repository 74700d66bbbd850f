//! Who may hold how many of the slots for attempts.

/// What is known of how long a destination holds its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pace {
    /// Nothing: no attempt has ended yet.
    New,
    /// An attempt ended soon, not long ago.
    Brisk,
    /// Its attempts linger, and none has ended soon for a while.
    Slow,
}

impl Pace {
    pub(crate) const ALL: [Self; 3] = [Self::New, Self::Brisk, Self::Slow];
}

/// The slots for attempts, and who holds them.
///
/// A slot comes back when its attempt ends, and how soon that is, is the destination's to choose. So
/// those who give slots back are kept apart from those who do not:
///
/// - slow destinations together hold at most half of the slots,
/// - new and slow ones together at most three quarters; the last quarter is for brisk ones only,
/// - a new or slow destination holds no more slots than it leaves free to others of its kind, so that
///   they share evenly, and a few of them leave room for one more.
///
/// A brisk destination needs no such bound: its slots come back, and the round is fair. One that
/// becomes slow gives its slots back when its attempts end, and then no longer gets as many. A
/// destination that is alone takes what there is.
///
/// The slots could have been divided evenly among destinations instead: then each of a thousand dead
/// ones has a share that it does nothing with.
#[derive(Debug)]
pub(crate) struct Slots {
    max: u32,
    held: [u32; Pace::ALL.len()],
}

impl Slots {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: u32::try_from(max).unwrap_or(u32::MAX), held: [0; Pace::ALL.len()] }
    }

    /// How many are held in all.
    pub(crate) fn held(&self) -> u32 {
        self.held.iter().fold(0, |sum, held| sum.saturating_add(*held))
    }

    fn held_by(&self, pace: Pace) -> u32 {
        let [new, brisk, slow] = self.held;
        match pace {
            Pace::New => new,
            Pace::Brisk => brisk,
            Pace::Slow => slow,
        }
    }

    const fn of(&mut self, pace: Pace) -> &mut u32 {
        let [new, brisk, slow] = &mut self.held;
        match pace {
            Pace::New => new,
            Pace::Brisk => brisk,
            Pace::Slow => slow,
        }
    }

    pub(crate) fn take(&mut self, pace: Pace) {
        *self.of(pace) = self.held_by(pace).saturating_add(1);
    }

    pub(crate) fn give_back(&mut self, pace: Pace) {
        *self.of(pace) = self.held_by(pace).saturating_sub(1);
    }

    /// Says that a destination that holds `count` has another pace.
    pub(crate) fn change(&mut self, from: Pace, to: Pace, count: u32) {
        *self.of(from) = self.held_by(from).saturating_sub(count);
        *self.of(to) = self.held_by(to).saturating_add(count);
    }

    /// Whether one of so many destinations, which holds `holds` slots, may take another one. Who holds
    /// more is refused whenever one of the same pace is that holds less.
    pub(crate) fn admits(&self, pace: Pace, holds: u32, destinations: usize) -> bool {
        let free = self.max.saturating_sub(self.held());
        if destinations == 1 || pace == Pace::Brisk {
            return free > 0;
        }
        let slow = self.held_by(Pace::Slow);
        let unproven = slow.saturating_add(self.held_by(Pace::New));
        let mut room = free.min(self.unproven_max().saturating_sub(unproven));
        if pace == Pace::Slow {
            room = room.min(self.slow_max().saturating_sub(slow));
        }
        holds < room
    }

    /// Most slots that slow destinations hold together.
    pub(crate) const fn slow_max(&self) -> u32 {
        self.max.saturating_sub(self.max / 2)
    }

    /// Most slots that new and slow destinations hold together.
    pub(crate) const fn unproven_max(&self) -> u32 {
        self.max.saturating_sub(self.max / 4)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many slots each of `count` destinations of this pace ends up with that take all they get.
    fn greedy(slots: &mut Slots, pace: Pace, count: usize) -> Vec<u32> {
        let mut holds = vec![0; count];
        loop {
            let least = *holds.iter().min().unwrap();
            if !slots.admits(pace, least, 2) {
                return holds;
            }
            slots.take(pace);
            *holds.iter_mut().find(|it| **it == least).unwrap() += 1;
        }
    }

    #[test]
    fn any_number_of_slow_destinations_leaves_room() {
        for count in [1, 2, 10, 100, 240, 10_000] {
            let mut slots = Slots::new(500);
            let holds = greedy(&mut slots, Pace::Slow, count);
            let (least, most) = (holds.iter().min().unwrap(), holds.iter().max().unwrap());
            assert!(most - least <= 1, "they share evenly");
            assert!(slots.held() <= 250, "{count} hold {}", slots.held());
            assert!(slots.admits(Pace::New, 0, 2), "{count} slow ones stop a new one");
            greedy(&mut slots, Pace::New, 10_000);
            assert!(slots.held() <= 375);
            // Brisk ones have the rest.
            assert!(greedy(&mut slots, Pace::Brisk, 1)[0] >= 125);
            assert_eq!(slots.held(), 500);
        }
        let mut slots = Slots::new(500);
        assert_eq!(greedy(&mut slots, Pace::Slow, 100)[0], 3);
    }

    #[test]
    fn who_is_alone_takes_all() {
        let mut slots = Slots::new(10);
        for holds in 0..10 {
            assert!(slots.admits(Pace::Slow, holds, 1));
            slots.take(Pace::Slow);
        }
        assert!(!slots.admits(Pace::Slow, 10, 1));
        slots.change(Pace::Slow, Pace::Brisk, 10);
        slots.give_back(Pace::Brisk);
        assert!(slots.admits(Pace::New, 0, 2) && !slots.admits(Pace::New, 1, 2));
    }

    #[test]
    fn the_smallest_number_of_slots_stops_nobody() {
        for pace in Pace::ALL {
            assert!(Slots::new(1).admits(pace, 0, 2));
        }
    }

    proptest! {
        /// The bounds hold whatever happens, and who holds fewest is admitted if anybody is.
        #[test]
        fn bounds_hold(
            max in 1..40_usize,
            steps in prop::collection::vec((0..3_usize, 0..8_usize, 0..4_u8), 0..200),
        ) {
            let mut slots = Slots::new(max);
            let mut holds = [[0_u32; 8]; 3];
            for (pace_at, place, what) in steps {
                let pace = Pace::ALL[pace_at];
                let (unproven, slow) = (slots.unproven_max(), slots.slow_max());
                if what == 0 && holds[pace_at][place] > 0 {
                    slots.give_back(pace);
                    holds[pace_at][place] -= 1;
                } else if slots.admits(pace, holds[pace_at][place], 2) {
                    let fewest = *holds[pace_at].iter().min().unwrap();
                    prop_assert!(slots.admits(pace, fewest, 2));
                    slots.take(pace);
                    holds[pace_at][place] += 1;
                }
                let sum = |pace: usize| holds[pace].iter().sum::<u32>();
                prop_assert_eq!(slots.held(), sum(0) + sum(1) + sum(2));
                prop_assert!(slots.held() <= u32::try_from(max).unwrap());
                prop_assert!(sum(2) <= slow && sum(0) + sum(2) <= unproven);
            }
        }
    }
}
