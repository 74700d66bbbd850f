//! How large the messages are.

use serde::Deserialize;
use units::ByteSize;

/// The sizes of messages, headers included: one, a weighted list, or log-normal within bounds.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, deny_unknown_fields)]
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
