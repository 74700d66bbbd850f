//! When messages are due.

use std::time::Duration;

use anyhow::ensure;
use serde::Deserialize;
use units::Span;

/// When the next message is sent.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "\"closed\", a rate with a decimal point such as 2500.0, or a list of { at, rate }"
)]
pub(crate) enum Pace {
    /// As soon as a connection is free: latency is what the relay takes.
    Loop(Loop),
    /// `pace = 2500.0`: so many a second, whatever the relay does (open loop): latency counts from when a message was due.
    Rate(f64),
    /// `pace = [{ at = "0s", rate = 200.0 }, { at = "30s", rate = 900.0 }]`: a rate that goes straight from point to
    /// point and stays at the last.
    Curve(Vec<PacePoint>),
}

/// A pace that the relay sets.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Loop {
    /// `pace = "closed"`.
    Closed,
}

impl Pace {
    /// The closed loop.
    pub(crate) const CLOSED: Self = Self::Loop(Loop::Closed);
}

/// The rate at one time of a run.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct PacePoint {
    /// Since the start.
    pub(crate) at: Span,
    /// Messages per second.
    pub(crate) rate: f64,
}

/// When each message is due, in an open loop.
#[derive(Clone, Debug)]
pub(crate) struct Timetable {
    legs: Vec<Leg>,
}

/// A part of a run in which the rate changes evenly.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// Seconds since the start at which it begins.
    at: f64,
    /// Messages that were due before it.
    sent: f64,
    /// Messages per second at its beginning.
    rate: f64,
    /// By how much the rate grows, per second.
    growth: f64,
}

impl Timetable {
    /// None in a closed loop.
    ///
    /// # Errors
    /// If a rate is not a number above 0 (a curve may have 0 before its last point), or times do not grow from 0.
    pub(crate) fn new(pace: &Pace) -> anyhow::Result<Option<Self>> {
        let points: Vec<(f64, f64)> = match pace {
            Pace::Loop(Loop::Closed) => return Ok(None),
            Pace::Rate(rate) => vec![(0.0, *rate)],
            Pace::Curve(points) => points
                .iter()
                .map(|point| (point.at.as_duration().as_secs_f64(), point.rate))
                .collect(),
        };
        let (first, last) = (points.first(), points.last());
        ensure!(first.is_some_and(|(at, _)| *at == 0.0), "the first point must be at \"0s\"");
        ensure!(last.is_some_and(|(_, rate)| *rate > 0.0), "the last rate must be above 0");
        for (_, rate) in &points {
            ensure!(rate.is_finite() && *rate >= 0.0, "the rate {rate} is below 0");
        }
        let mut legs = Vec::with_capacity(points.len());
        let mut sent = 0.0;
        for pair in points.windows(2) {
            let [(at, rate), (next_at, next_rate)] = *pair else { continue };
            let wait = next_at - at;
            ensure!(wait > 0.0, "the times of the points must grow");
            legs.push(Leg { at, sent, rate, growth: (next_rate - rate) / wait });
            sent += f64::midpoint(rate, next_rate) * wait;
        }
        if let Some(&(at, rate)) = last {
            legs.push(Leg { at, sent, rate, growth: 0.0 });
        }
        Ok(Some(Self { legs }))
    }

    /// When message `number` is due, since the start. Never before an earlier number.
    #[expect(clippy::cast_precision_loss, reason = "4 billion messages fit a float exactly")]
    pub(crate) fn due(&self, number: u64) -> Duration {
        let number = number as f64;
        let leg = self.legs.iter().rev().find(|leg| leg.sent <= number);
        leg.map_or(Duration::ZERO, |leg| Duration::from_secs_f64(leg.at + leg.wait(number)))
    }
}

impl Leg {
    /// Seconds into the leg at which message `number` is due: the solution of `rate·t + growth·t²/2 = left`.
    fn wait(&self, number: f64) -> f64 {
        let left = number - self.sent;
        if left <= 0.0 {
            return 0.0;
        }
        // This form of the solution holds for a growth of 0 too.
        let root = (self.rate * self.rate + 2.0 * self.growth * left).max(0.0).sqrt();
        2.0 * left / (self.rate + root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(points: &[(u64, f64)]) -> anyhow::Result<Timetable> {
        let points =
            points.iter().map(|(at, rate)| PacePoint { at: Span::seconds(*at), rate: *rate });
        Ok(Timetable::new(&Pace::Curve(points.collect()))?.unwrap())
    }

    #[test]
    fn a_rate_is_even() {
        let table = Timetable::new(&Pace::Rate(200.0)).unwrap().unwrap();
        assert_eq!([0, 1, 200].map(|n| table.due(n).as_millis()), [0, 5, 1_000]);
        assert!(Timetable::new(&Pace::CLOSED).unwrap().is_none());
    }

    #[test]
    fn a_curve_sends_what_lies_under_it() {
        // 10 s from 0 to 100 a second are 500 messages, half of them in the last 2.93 s; 5 s at 100, then falling.
        let table = table(&[(0, 0.0), (10, 100.0), (15, 100.0), (25, 50.0)]).unwrap();
        let due = |number| table.due(number).as_secs_f64();
        assert_eq!((due(0), due(500), due(1_000)), (0.0, 10.0, 15.0));
        assert!((due(250) - 7.071).abs() < 0.001, "{}", due(250));
        assert!((due(1_750) - 25.0).abs() < 0.001, "{}", due(1_750));
        assert!((due(1_800) - 26.0).abs() < 0.001, "{}", due(1_800));
        assert!((1..3_000).all(|number| table.due(number - 1) <= table.due(number)));
    }

    #[test]
    fn a_pause_is_a_pause() {
        let table = table(&[(0, 10.0), (1, 0.0), (5, 0.0), (6, 10.0)]).unwrap();
        assert!(table.due(4).as_secs_f64() < 1.0);
        assert!(table.due(6).as_secs_f64() > 5.0);
    }

    #[test]
    fn a_pace_without_sense_is_refused() {
        for bad in [
            &[][..],
            &[(1, 5.0)],
            &[(0, 0.0)],
            &[(0, -1.0), (1, 1.0)],
            &[(0, f64::NAN), (1, 1.0)],
            &[(0, 1.0), (2, 1.0), (2, 3.0)],
        ] {
            assert!(table(bad).is_err(), "{bad:?}");
        }
        assert!(Timetable::new(&Pace::Rate(0.0)).is_err());
    }
}
