//! Chance that can be repeated: what falls depends on the seed and the message's number alone.

use anyhow::ensure;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// What chance decides. Each has dice of its own, so that one setting never changes another's throws.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Throw {
    Size = 1,
    Count,
    Domain,
    Body,
    RcptRejected,
    RcptDeferred,
    ContentRejected,
    ContentDeferred,
    Disconnect,
}

/// The throw `what` for `number`: all 64 bits are equally likely.
pub(crate) fn dice(seed: u64, number: u64, what: Throw) -> u64 {
    mix(mix(seed.wrapping_add(what as u64)).wrapping_add(number))
}

/// The throw `what` for `number`, from 0 up to but not 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
pub(crate) fn share(seed: u64, number: u64, what: Throw) -> f64 {
    (dice(seed, number, what) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A generator of its own for the throw `what` for `number`.
pub(crate) fn generator(seed: u64, number: u64, what: Throw) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(dice(seed, number, what))
}

/// One step of `SplitMix64`.
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// Values, some of which come more often than others.
#[derive(Clone, Debug)]
pub(crate) struct Weighted<T> {
    /// Each value with the share up to and with it.
    steps: Vec<(f64, T)>,
    last: T,
}

impl<T: Copy> Weighted<T> {
    /// # Errors
    /// If there is no value, or a weight is not a positive number.
    pub(crate) fn new(values: &[(T, f64)]) -> anyhow::Result<Self> {
        let Some(&(last, _)) = values.last() else { anyhow::bail!("the list is empty") };
        for (_, weight) in values {
            ensure!(weight.is_finite() && *weight > 0.0, "the weight {weight} is not above 0");
        }
        let total: f64 = values.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let steps = values.iter().map(|(value, weight)| {
            sum += weight / total;
            (sum, *value)
        });
        Ok(Self { steps: steps.collect(), last })
    }

    /// The value at `share`, from 0 up to 1, of all.
    pub(crate) fn pick(&self, share: f64) -> T {
        self.steps.iter().find(|(up_to, _)| share < *up_to).map_or(self.last, |(_, value)| *value)
    }

    /// All values.
    pub(crate) fn values(&self) -> impl Iterator<Item = T> {
        self.steps.iter().map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_another_does_not() {
        let throws = |seed| -> Vec<u64> { (0..50).map(|n| dice(seed, n, Throw::Size)).collect() };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
        assert_ne!(dice(7, 1, Throw::Size), dice(7, 1, Throw::Count));
    }

    #[test]
    fn a_share_hits_as_often_as_it_says() {
        let hits = (0..100_000).filter(|n| share(3, *n, Throw::RcptRejected) < 0.05).count();
        assert!((4_700..5_300).contains(&hits), "{hits}");
    }

    #[test]
    fn weights_are_relative() {
        let table = Weighted::new(&[("often", 9.0), ("seldom", 1.0)]).unwrap();
        let seldom =
            (0..10_000).filter(|n| table.pick(share(3, *n, Throw::Count)) == "seldom").count();
        assert!((900..1_100).contains(&seldom), "{seldom}");
        assert!(Weighted::<u32>::new(&[]).is_err());
        assert!(Weighted::new(&[(1, 0.0)]).is_err());
        assert!(Weighted::new(&[(1, f64::NAN)]).is_err());
    }
}
