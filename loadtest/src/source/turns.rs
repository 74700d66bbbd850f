//! Whose turn it is: hands out the messages, each once, and in an open loop not before it is due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use units::Clock;

use crate::pace::Timetable;
use crate::plan::Plan;

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    /// None in a closed loop.
    pub(crate) due_at: Option<Instant>,
}

/// The messages that are left.
pub(crate) struct Turns {
    next: AtomicU64,
    messages: u64,
    open_loop: Option<OpenLoop>,
}

struct OpenLoop {
    timetable: Timetable,
    started_at: Instant,
    clock: Clock,
    /// One for each message that is due.
    due: Semaphore,
}

/// The thread that watches the time looks so often whether it is still needed.
const LOOK: Duration = Duration::from_millis(50);

impl Turns {
    /// Begins the run now, for so many `senders`.
    pub(crate) fn start(plan: &Plan, senders: usize, clock: &Clock) -> Arc<Self> {
        let open_loop = plan.timetable.clone().map(|timetable| OpenLoop {
            timetable,
            started_at: clock.now(),
            clock: clock.clone(),
            due: Semaphore::new(0),
        });
        let turns = Arc::new(Self { next: AtomicU64::new(0), messages: plan.messages, open_loop });
        if turns.open_loop.is_some() {
            let turns = Arc::downgrade(&turns);
            // A thread, because the runtime's timers are a millisecond coarse.
            std::thread::spawn(move || release(&turns, senders));
        }
        turns
    }

    /// The next message, once it is due; none when there are no more.
    pub(crate) async fn next(&self) -> Option<Turn> {
        if let Some(open_loop) = &self.open_loop {
            open_loop.due.acquire().await.ok()?.forget();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due_at = self
            .open_loop
            .as_ref()
            .map(|open_loop| open_loop.started_at + open_loop.timetable.due(number));
        (number < self.messages).then_some(Turn { number, due_at })
    }
}

/// Releases each message when it is due, and at the end the senders that wait for one more.
fn release(turns: &Weak<Turns>, senders: usize) {
    let mut number = 0;
    while let Some(turns) = turns.upgrade() {
        let Some(open_loop) = &turns.open_loop else { return };
        let passed = open_loop.clock.now().saturating_duration_since(open_loop.started_at);
        let before = number;
        while number < turns.messages && open_loop.timetable.due(number) <= passed {
            number += 1;
        }
        open_loop.due.add_permits(usize::try_from(number - before).unwrap_or(0));
        if number == turns.messages {
            open_loop.due.add_permits(senders);
            return;
        }
        let wait = open_loop.timetable.due(number).saturating_sub(passed).min(LOOK);
        drop(turns);
        std::thread::sleep(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Load;
    use crate::pace::Pace;

    fn turns(pace: Pace, clock: &Clock) -> Arc<Turns> {
        let load = Load { messages: 3, pace, ..Load::default() };
        Turns::start(&Plan::new(&load, &[], 1).unwrap(), 2, clock)
    }

    #[tokio::test]
    async fn a_closed_loop_hands_out_each_message_once_and_never_waits() {
        let turns = turns(Pace::CLOSED, &Clock::manual(0));
        for number in 0..3 {
            assert_eq!(turns.next().await, Some(Turn { number, due_at: None }));
        }
        assert_eq!((turns.next().await, turns.next().await), (None, None));
    }

    #[tokio::test]
    async fn an_open_loop_says_when_each_was_due_even_if_it_is_late() {
        let clock = Clock::manual(0);
        let started_at = clock.now();
        let turns = turns(Pace::Rate(10.0), &clock);
        clock.advance(Duration::from_secs(7));
        for number in 0..3_u32 {
            let due_at = started_at + Duration::from_millis(100) * number;
            let turn = Turn { number: number.into(), due_at: Some(due_at) };
            assert_eq!(turns.next().await, Some(turn));
        }
        assert_eq!((turns.next().await, turns.next().await), (None, None), "both senders end");
    }

    #[tokio::test]
    async fn nothing_is_handed_out_before_it_is_due() {
        let clock = Clock::manual(0);
        let turns = turns(Pace::Rate(10.0), &clock);
        assert!(turns.next().await.is_some(), "the first is due at once");
        let mut second = std::pin::pin!(turns.next());
        let none = std::future::poll_fn(|task| {
            std::task::Poll::Ready(second.as_mut().poll(task).is_pending())
        });
        assert!(none.await, "the clock stands");
        clock.advance(Duration::from_millis(100));
        assert_eq!(second.await.map(|turn| turn.number), Some(1));
    }
}
