//! How large the messages are.

use anyhow::{Context, ensure};
use rand_distr::{Distribution, LogNormal};
use serde::Deserialize;
use units::ByteSize;

use crate::random::{Throw, Weighted, generator, share};

/// The sizes of messages, headers included: one, a weighted list, or log-normal within bounds.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a size such as \"10KiB\", a list of { size, weight }, or { median, sigma, min, max }"
)]
pub(crate) enum Sizes {
    /// `size = "10KiB"`.
    Fixed(ByteSize),
    /// `size = [{ size = "4KiB", weight = 8.0 }, { size = "1MiB", weight = 1.0 }]`.
    Weighted(Vec<WeightedSize>),
    /// `size = { median = "12KiB", sigma = 1.4, min = "1KiB", max = "5MiB" }`.
    LogNormal(LogNormalSize),
}

/// A size and how often it comes, relative to the others.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightedSize {
    pub(crate) size: ByteSize,
    pub(crate) weight: f64,
}

/// Sizes whose logarithm is normal; what falls outside the bounds is put on the bound.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogNormalSize {
    /// Half the messages are smaller.
    pub(crate) median: ByteSize,
    /// Standard deviation of the natural logarithm.
    pub(crate) sigma: f64,
    pub(crate) min: ByteSize,
    pub(crate) max: ByteSize,
}

/// No message is larger.
const SIZE_MAX: ByteSize = ByteSize::mib(1024);

/// The size of each message.
#[derive(Clone, Debug)]
pub(crate) enum SizeTable {
    Weighted(Weighted<usize>),
    LogNormal { curve: LogNormal<f64>, min: usize, max: usize },
}

impl SizeTable {
    /// # Errors
    /// If a list is empty, a weight or the curve makes no sense, or a message would exceed 1 GiB.
    pub(crate) fn new(sizes: &Sizes) -> anyhow::Result<Self> {
        let table = match sizes {
            Sizes::Fixed(size) => Self::Weighted(Weighted::new(&[(size.as_usize(), 1.0)])?),
            Sizes::Weighted(list) => {
                let list: Vec<_> =
                    list.iter().map(|entry| (entry.size.as_usize(), entry.weight)).collect();
                Self::Weighted(Weighted::new(&list)?)
            }
            Sizes::LogNormal(LogNormalSize { median, sigma, min, max }) => {
                ensure!(min <= max, "the smallest size, {min}, is above the largest, {max}");
                ensure!(median.as_octets() > 0, "the median is 0");
                ensure!(*sigma >= 0.0, "sigma {sigma} is below 0");
                let curve = LogNormal::new(float(median.as_usize()).ln(), *sigma)
                    .with_context(|| format!("sigma {sigma} makes no log-normal curve"))?;
                Self::LogNormal { curve, min: min.as_usize(), max: max.as_usize() }
            }
        };
        ensure!(table.max() <= SIZE_MAX.as_usize(), "a message may have {SIZE_MAX} at most");
        Ok(table)
    }

    /// Octets of message `number`.
    pub(crate) fn of(&self, seed: u64, number: u64) -> usize {
        match self {
            Self::Weighted(list) => list.pick(share(seed, number, Throw::Size)),
            Self::LogNormal { curve, min, max } => {
                let size = curve.sample(&mut generator(seed, number, Throw::Size));
                octets(size).clamp(*min, *max)
            }
        }
    }

    /// Octets of the largest message there may be.
    pub(crate) fn max(&self) -> usize {
        match self {
            Self::Weighted(list) => list.values().max().unwrap_or_default(),
            Self::LogNormal { max, .. } => *max,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a median needs no more than 52 bits")]
fn float(octets: usize) -> f64 {
    octets as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float beyond the range ends on its edge, and the bounds follow"
)]
fn octets(size: f64) -> usize {
    size as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(toml: &str) -> anyhow::Result<SizeTable> {
        #[derive(Deserialize)]
        struct Holder {
            size: Sizes,
        }
        SizeTable::new(&toml::from_str::<Holder>(toml)?.size)
    }

    #[test]
    fn a_fixed_size_is_the_size() {
        let table = sizes("size = '10KiB'").unwrap();
        assert_eq!((table.of(1, 0), table.of(1, 99), table.max()), (10_240, 10_240, 10_240));
    }

    #[test]
    fn a_weighted_list_gives_each_its_share() {
        let table =
            sizes("size = [{ size = '4KiB', weight = 3.0 }, { size = '1MiB', weight = 1.0 }]")
                .unwrap();
        let large = (0..10_000).filter(|number| table.of(5, *number) == 1 << 20).count();
        assert!((2_300..2_700).contains(&large), "{large}");
        assert_eq!(table.max(), 1 << 20);
    }

    #[test]
    fn log_normal_sizes_have_their_median_and_keep_their_bounds() {
        let table =
            sizes("size = { median = '12KiB', sigma = 1.4, min = '2KiB', max = '1MiB' }").unwrap();
        let mut all: Vec<_> = (0..10_000).map(|number| table.of(5, number)).collect();
        all.sort_unstable();
        assert!((11_500..13_100).contains(&all[5_000]), "{}", all[5_000]);
        assert_eq!((all[0], all[9_999]), (2 << 10, 1 << 20));
        assert_eq!(table.of(5, 17), table.of(5, 17));
    }

    #[test]
    fn sizes_without_sense_are_refused() {
        for bad in [
            "size = []",
            "size = [{ size = '4KiB', weight = -1.0 }]",
            "size = '2TiB'",
            "size = { median = '0B', sigma = 1.0, min = '1B', max = '2B' }",
            "size = { median = '1KiB', sigma = -1.0, min = '1B', max = '2B' }",
            "size = { median = '1KiB', sigma = 1.0, min = '3B', max = '2B' }",
            "size = { median = '1KiB', sigma = 1.0, min = '1B', max = '2B', mean = '1B' }",
        ] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
    }
}
