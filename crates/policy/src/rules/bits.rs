//! A set of small numbers.

/// Numbers below a bound that is given at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(Box<[u64]>);

const WIDTH: usize = 64;

impl Bits {
    /// The empty set of numbers below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(WIDTH)].into_boxed_slice())
    }

    /// Puts `number` in; one past the bound is left out.
    pub(crate) fn set(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / WIDTH) {
            *word |= 1 << (number % WIDTH);
        }
    }

    /// Whether `number` is in.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.0.get(number / WIDTH).is_some_and(|word| word >> (number % WIDTH) & 1 == 1)
    }

    /// All numbers, the smallest first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(place * WIDTH + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_order() {
        let mut bits = Bits::new(130);
        for number in [129, 0, 64, 63, 5, 5, 500] {
            bits.set(number);
        }
        assert_eq!(bits.numbers().collect::<Vec<_>>(), [0, 5, 63, 64, 129]);
        assert!(bits.has(63) && !bits.has(62) && !bits.has(500));
    }
}
