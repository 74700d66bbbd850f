//! How long to rest after a failure.

use std::time::Duration;

/// Rests that grow by a factor up to a limit, each with a jitter of a fifth either way.
///
/// RFC 5321 §4.5.4.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The rest after the first failure.
    pub first: Duration,
    /// Each further rest is this many times the one before; less than 1 counts as 1.
    pub factor: f64,
    /// The longest rest, before jitter.
    pub rest_max: Duration,
}

const JITTER: f64 = 0.2;

impl Backoff {
    /// The rest after `failures` failures in a row, at least 1.
    pub(crate) fn rest(&self, failures: u16, random: &mut Random) -> Duration {
        let exponent = i32::from(failures.saturating_sub(1));
        let factor = if self.factor >= 1.0 { self.factor } else { 1.0 };
        let longest = self.rest_max.as_secs_f64();
        // An overflow is infinite, and the longest rest is less.
        let plain = (self.first.as_secs_f64() * factor.powi(exponent)).min(longest);
        let jitter = JITTER.mul_add(random.unit().mul_add(2.0, -1.0), 1.0);
        Duration::try_from_secs_f64(plain * jitter).unwrap_or(self.rest_max)
    }
}

/// A small seeded generator (`SplitMix64`): good enough for jitter, the same in every run of a test.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to 1.
    fn unit(&mut self) -> f64 {
        let top = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(top) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_mins(1), factor: 2.0, rest_max: Duration::from_hours(1) };

    #[test]
    fn rests_double_up_to_the_longest_give_or_take_a_fifth() {
        let mut random = Random::new(7);
        for (failures, seconds) in
            [(0, 60.0), (1, 60.0), (2, 120.0), (5, 960.0), (7, 3600.0), (u16::MAX, 3600.0)]
        {
            let mut seen = Vec::new();
            for _ in 0..200 {
                seen.push(BACKOFF.rest(failures, &mut random).as_secs_f64());
            }
            let (least, most) = seen
                .iter()
                .fold((f64::MAX, 0.0_f64), |(low, high), it| (low.min(*it), high.max(*it)));
            assert!(least >= seconds * 0.799 && most <= seconds * 1.201, "{failures}");
            assert!(most - least > seconds * 0.3, "the jitter is too small: {least} to {most}");
        }
    }

    #[test]
    fn odd_settings_do_no_harm() {
        let mut random = Random::new(7);
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let backoff = Backoff { factor, ..BACKOFF };
            for failures in [0, 1, 2, 9] {
                let rest = backoff.rest(failures, &mut random);
                assert!(rest >= Duration::from_secs(48) && rest <= Duration::from_mins(72));
            }
        }
    }
}
