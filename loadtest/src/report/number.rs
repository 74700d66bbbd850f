//! Figures as people read them: three digits that matter, or whole numbers.

use crate::summary::Spread;

/// A count or rate: `12,345`.
pub(crate) fn whole(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut out = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A measure with three digits: `0.123`, `1.23`, `12.3`, `123`.
pub(crate) fn short(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        0.0..1.0 => format!("{figure:.3}"),
        1.0..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => whole(figure),
    }
}

/// The median, and the range where there is one: `5,000 (4,800–5,200)`.
pub(crate) fn spread(spread: Spread, form: fn(f64) -> String) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(form);
    if min == max { median } else { format!("{median} ({min}–{max})") }
}

pub(crate) fn mebi(octets: f64) -> String {
    short(octets / f64::from(1 << 20))
}

pub(crate) fn kibi(octets: f64) -> String {
    short(octets / 1024.0)
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A size that is whole in some unit: `10 KiB`.
pub(crate) fn size(octets: u64) -> String {
    let size = units::ByteSize::octets(octets).to_string();
    let digits = size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = size.strip_prefix(digits).unwrap_or_default();
    format!("{digits} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0.4, 999.6, 12_345.0, 1e6].map(whole), ["0", "1,000", "12,345", "1,000,000"]);
        assert_eq!(
            [0.0, 0.1234, 1.234, 12.34, 123.4, 1234.0].map(short),
            ["0", "0.123", "1.23", "12.3", "123", "1,234"]
        );
        assert_eq!(percent(0.456), "46 %");
        assert_eq!([10240, 1 << 20, 1000].map(size), ["10 KiB", "1 MiB", "1000 B"]);
        let one = Spread { median: 5.0, min: 5.0, max: 5.0 };
        let more = Spread { median: 5000.0, min: 4800.0, max: 5200.0 };
        assert_eq!(spread(one, short), "5.00");
        assert_eq!(spread(more, whole), "5,000 (4,800–5,200)");
    }
}
