//! A decimal of at most 38 significant digits, as DynamoDB stores it: exact
//! sums, numeric order, one spelling per value.
//!
//! A `u128` holds every coefficient (10^38 < 2^127), so no big-number code is
//! needed.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Significant digits that a number may have.
pub const MAX_DIGITS: u32 = 38;
/// Decimal exponent of the leading digit of the largest magnitude.
const MAX_EXPONENT: i32 = 125;
/// Decimal exponent of the leading digit of the smallest magnitude.
const MIN_EXPONENT: i32 = -130;
/// 10^38: the first coefficient that is too long.
const LIMIT: u128 = 10u128.pow(MAX_DIGITS);
/// Longest text that is looked at: 38 digits and any sane number of zeros.
const MAX_TEXT: usize = 512;

/// A decimal: sign, coefficient and power of ten.
///
/// Canonical: the coefficient has no trailing zero, zero is `0 × 10^0` and not
/// negative. Equal values are therefore equal structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(bool, u128, i16)", into = "(bool, u128, i16)")]
pub struct Number {
    negative: bool,
    coefficient: u128,
    exponent: i16,
}

/// Why a text or a sum is not a number that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a decimal number at all.
    #[error("The parameter cannot be converted to a numeric value: {0}")]
    Syntax(String),
    /// An empty text.
    #[error("The parameter cannot be converted to a numeric value")]
    Empty,
    /// Magnitude of 10^126 or more.
    #[error(
        "Number overflow. Attempting to store a number with magnitude larger than supported range"
    )]
    Overflow,
    /// Not zero, but magnitude below 10^-130.
    #[error(
        "Number underflow. Attempting to store a number with magnitude smaller than supported range"
    )]
    Underflow,
    /// It would have to be rounded.
    #[error("Attempting to store more than 38 significant digits in a Number")]
    Precision,
}

impl Number {
    /// Zero.
    pub const ZERO: Number = Number {
        negative: false,
        coefficient: 0,
        exponent: 0,
    };

    /// Brings it into canonical form, and refuses what cannot be stored.
    fn new(negative: bool, mut coefficient: u128, mut exponent: i32) -> Result<Self, NumberError> {
        if coefficient == 0 {
            return Ok(Self::ZERO);
        }
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent = exponent.saturating_add(1);
        }
        if coefficient >= LIMIT {
            return Err(NumberError::Precision);
        }
        let leading = exponent.saturating_add(coefficient.ilog10() as i32);
        if leading > MAX_EXPONENT {
            return Err(NumberError::Overflow);
        }
        if leading < MIN_EXPONENT {
            return Err(NumberError::Underflow);
        }
        let exponent = i16::try_from(exponent).map_err(|_| NumberError::Precision)?;
        Ok(Self {
            negative,
            coefficient,
            exponent,
        })
    }

    /// The sum, exact.
    ///
    /// # Errors
    /// If the exact sum has more than 38 digits or is out of range.
    pub fn add(&self, other: &Self) -> Result<Self, NumberError> {
        if self.coefficient == 0 {
            return Ok(*other);
        }
        if other.coefficient == 0 {
            return Ok(*self);
        }
        let (high, low) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        // The lower one's last digit is not zero and the raised one ends in
        // zeros, so the sum keeps that last digit: if the raised coefficient
        // does not fit in 128 bits, the sum has more than 38 digits.
        let shift = (i32::from(high.exponent) - i32::from(low.exponent)).unsigned_abs();
        let raised = 10u128
            .checked_pow(shift)
            .and_then(|power| high.coefficient.checked_mul(power))
            .ok_or(NumberError::Precision)?;
        let exponent = i32::from(low.exponent);
        if high.negative == low.negative {
            let sum = raised
                .checked_add(low.coefficient)
                .ok_or(NumberError::Precision)?;
            Self::new(high.negative, sum, exponent)
        } else if raised >= low.coefficient {
            Self::new(high.negative, raised - low.coefficient, exponent)
        } else {
            Self::new(low.negative, low.coefficient - raised, exponent)
        }
    }

    /// The difference, exact.
    ///
    /// # Errors
    /// As [`Number::add`].
    pub fn subtract(&self, other: &Self) -> Result<Self, NumberError> {
        self.add(&other.negate())
    }

    fn negate(&self) -> Self {
        Self {
            negative: !self.negative && self.coefficient != 0,
            ..*self
        }
    }

    /// Decimal exponent of the leading digit.
    fn leading(&self) -> i32 {
        i32::from(self.exponent) + self.coefficient.checked_ilog10().unwrap_or(0) as i32
    }

    /// Significant digits, 1 for zero.
    fn digits(&self) -> u32 {
        self.coefficient.checked_ilog10().unwrap_or(0) + 1
    }

    /// Bytes it counts for in an item's size: about one per two significant
    /// digits, one more, and one for a minus sign.
    pub fn size(&self) -> usize {
        if self.coefficient == 0 {
            return 1;
        }
        self.digits().div_ceil(2) as usize + 1 + usize::from(self.negative)
    }

    /// The value as a whole number, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        let power = 10i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let magnitude = i128::try_from(self.coefficient).ok()?.checked_mul(power)?;
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        match (self.coefficient == 0, other.coefficient == 0) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        self.leading().cmp(&other.leading()).then_with(|| {
            // Same leading exponent: align both to 39 digits and compare.
            let align =
                |n: &Self| n.coefficient * 10u128.pow(MAX_DIGITS - n.digits().min(MAX_DIGITS));
            align(self).cmp(&align(other))
        })
    }

    /// Bytes whose order is the numeric order, one encoding per value.
    ///
    /// Sign class (0 negative, 1 zero, 2 positive), biased exponent, then two
    /// digits per byte plus one; for negatives all of that complemented and
    /// closed by 0xff, so that a longer magnitude sorts lower.
    pub fn to_ordered_bytes(&self) -> Vec<u8> {
        if self.coefficient == 0 {
            return vec![1];
        }
        let mut out = Vec::with_capacity(22);
        out.push(2);
        // -130..=125 fills a byte exactly; clamp keeps a corrupt value total.
        out.push((self.leading() - MIN_EXPONENT).clamp(0, 255) as u8);
        let digits = self.digits();
        let mut rest = if digits % 2 == 1 {
            self.coefficient * 10
        } else {
            self.coefficient
        };
        let pairs = digits.div_ceil(2);
        for place in (0..pairs).rev() {
            let power = 100u128.pow(place);
            out.push((rest / power) as u8 + 1);
            rest %= power;
        }
        if self.negative {
            for byte in &mut out {
                *byte = !*byte;
            }
            out[0] = 0;
            out.push(0xff);
        }
        out
    }

    /// The inverse of [`Number::to_ordered_bytes`]; `None` if it is not one of its results.
    pub fn from_ordered_bytes(bytes: &[u8]) -> Option<Self> {
        let (negative, exponent, digits): (bool, u8, Vec<u8>) = match bytes {
            [1] => return Some(Self::ZERO),
            [2, exponent, digits @ ..] => (false, *exponent, digits.to_vec()),
            [0, exponent, digits @ .., 0xff] => {
                (true, !*exponent, digits.iter().map(|b| !b).collect())
            }
            _ => return None,
        };
        if digits.is_empty() || digits.len() > (MAX_DIGITS / 2) as usize {
            return None;
        }
        let mut coefficient = 0u128;
        for pair in &digits {
            let pair = pair.checked_sub(1).filter(|p| *p < 100)?;
            coefficient = coefficient * 100 + u128::from(pair);
        }
        if coefficient == 0 {
            return None;
        }
        let leading = i32::from(exponent) + MIN_EXPONENT;
        let number =
            Self::new(negative, coefficient, leading - coefficient.ilog10() as i32).ok()?;
        (number.to_ordered_bytes() == bytes).then_some(number)
    }
}

impl TryFrom<(bool, u128, i16)> for Number {
    type Error = NumberError;

    fn try_from((negative, coefficient, exponent): (bool, u128, i16)) -> Result<Self, NumberError> {
        Self::new(negative, coefficient, i32::from(exponent))
    }
}

impl From<Number> for (bool, u128, i16) {
    fn from(number: Number) -> Self {
        (number.negative, number.coefficient, number.exponent)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::new(value < 0, u128::from(value.unsigned_abs()), 0)
            .expect("19 digits are within range")
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Number {
    type Err = NumberError;

    /// Reads `[+-]digits[.digits][(e|E)[+-]digits]`.
    fn from_str(text: &str) -> Result<Self, NumberError> {
        let syntax = || {
            let shown: String = text.chars().take(80).collect();
            NumberError::Syntax(shown)
        };
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        if text.len() > MAX_TEXT {
            return Err(syntax());
        }
        let bytes = text.as_bytes();
        let (negative, mut at) = match bytes[0] {
            b'-' => (true, 1),
            b'+' => (false, 1),
            _ => (false, 0),
        };
        let mut coefficient = 0u128;
        let mut exponent = 0i32;
        let mut digits = 0usize;
        let mut point = false;
        // Zeros after the last other digit are held back, so that a long tail
        // of them costs no precision.
        let mut zeros = 0u32;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'0'..=b'9' => {
                    digits += 1;
                    exponent -= i32::from(point);
                    if *byte == b'0' {
                        zeros += u32::from(coefficient != 0);
                    } else {
                        coefficient = 10u128
                            .checked_pow(zeros + 1)
                            .and_then(|power| coefficient.checked_mul(power))
                            .and_then(|c| c.checked_add(u128::from(byte - b'0')))
                            .filter(|c| *c < LIMIT)
                            .ok_or(NumberError::Precision)?;
                        zeros = 0;
                    }
                }
                b'.' if !point => point = true,
                _ => break,
            }
            at += 1;
        }
        if digits == 0 {
            return Err(syntax());
        }
        exponent += zeros as i32;
        if let Some(b'e' | b'E') = bytes.get(at) {
            let mut tail = &bytes[at + 1..];
            let down = match tail.first() {
                Some(b'-') => true,
                Some(b'+') => false,
                _ => {
                    tail = &bytes[at..];
                    false
                }
            };
            tail = &tail[1..];
            if tail.is_empty() || !tail.iter().all(u8::is_ascii_digit) {
                return Err(syntax());
            }
            let power = tail.iter().fold(0i32, |sum, digit| {
                (sum.saturating_mul(10)
                    .saturating_add(i32::from(digit - b'0')))
                .min(1_000_000)
            });
            exponent += if down { -power } else { power };
        } else if at != bytes.len() {
            return Err(syntax());
        }
        Self::new(negative, coefficient, exponent)
    }
}

impl fmt::Display for Number {
    /// Plain notation: no exponent, no leading or trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let digits = self.coefficient.to_string();
        let exponent = i32::from(self.exponent);
        if exponent >= 0 {
            return write!(f, "{digits}{}", "0".repeat(exponent as usize));
        }
        let fraction = exponent.unsigned_abs() as usize;
        match digits.len().checked_sub(fraction) {
            None | Some(0) => write!(f, "0.{}{digits}", "0".repeat(fraction - digits.len())),
            Some(whole) => write!(f, "{}.{}", &digits[..whole], &digits[whole..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn one_spelling_per_value() {
        for (text, plain) in [
            ("1.50", "1.5"),
            ("1E+3", "1000"),
            ("1e3", "1000"),
            ("-0", "0"),
            ("-0.0e5", "0"),
            ("0.0001", "0.0001"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+7", "7"),
            ("007", "7"),
            ("-12.340e-2", "-0.1234"),
            (
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999999",
            ),
            (
                "1000000000000000000000000000000000000000000",
                "1000000000000000000000000000000000000000000",
            ),
        ] {
            assert_eq!(n(text).to_string(), plain, "{text}");
        }
        assert_eq!(n("1E-130").to_string().len(), 132);
        assert_eq!(
            n("9.9999999999999999999999999999999999999E+125")
                .to_string()
                .len(),
            126
        );
    }

    #[test]
    fn refuses_what_cannot_be_stored() {
        for text in [
            "", "-", ".", "e5", "1e", "1e+", "1 ", " 1", "0x1", "1_0", "NaN", "1.2.3", "--1", "١",
        ] {
            let error = text.parse::<Number>().unwrap_err();
            assert!(
                matches!(error, NumberError::Syntax(_) | NumberError::Empty),
                "{text}: {error:?}"
            );
        }
        assert_eq!("1E126".parse::<Number>(), Err(NumberError::Overflow));
        assert_eq!(
            "1E99999999999".parse::<Number>(),
            Err(NumberError::Overflow)
        );
        assert_eq!("9.9E-131".parse::<Number>(), Err(NumberError::Underflow));
        assert_eq!(
            "123456789012345678901234567890123456789".parse::<Number>(),
            Err(NumberError::Precision)
        );
        assert!("0E99999".parse::<Number>().is_ok());
        assert!("9".repeat(MAX_TEXT + 1).parse::<Number>().is_err());
    }

    #[test]
    fn sums_are_exact_or_refused() {
        assert_eq!(n("0.1").add(&n("0.2")).unwrap(), n("0.3"));
        assert_eq!(n("1").subtract(&n("1")).unwrap(), Number::ZERO);
        assert_eq!(n("-5").subtract(&n("-7.5")).unwrap(), n("2.5"));
        assert_eq!(
            n("1E20").add(&n("1E-17")).unwrap(),
            n("100000000000000000000.00000000000000001")
        );
        assert_eq!(n("1E100").add(&n("1")), Err(NumberError::Precision));
        assert_eq!(n("1E38").add(&n("1")), Err(NumberError::Precision));
        assert_eq!(
            n("99999999999999999999999999999999999999")
                .add(&n("1"))
                .unwrap(),
            n("1E38")
        );
        let top = n("9.9999999999999999999999999999999999999E125");
        assert_eq!(top.add(&top), Err(NumberError::Precision));
        assert_eq!(n("9E125").add(&n("1E125")), Err(NumberError::Overflow));
        assert_eq!(
            n("1.1E-130").subtract(&n("1E-130")),
            Err(NumberError::Underflow)
        );
    }

    #[test]
    fn sizes_follow_the_digits() {
        for (text, size) in [
            ("0", 1),
            ("1", 2),
            ("12", 2),
            ("123", 3),
            ("-123", 4),
            ("1E100", 2),
        ] {
            assert_eq!(n(text).size(), size, "{text}");
        }
    }

    #[test]
    fn whole_numbers_come_back() {
        for value in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(Number::from(value).as_i64(), Some(value));
        }
        assert_eq!(n("1.5").as_i64(), None);
        assert_eq!(n("1E100").as_i64(), None);
    }

    fn any_number() -> impl Strategy<Value = Number> {
        (any::<bool>(), 0..LIMIT, 0u32..38, -130i32..=125).prop_filter_map(
            "in range",
            |(negative, coefficient, cut, exponent)| {
                Number::new(negative, coefficient / 10u128.pow(cut), exponent).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn text_goes_round(number in any_number()) {
            prop_assert_eq!(number.to_string().parse::<Number>().unwrap(), number);
        }

        #[test]
        fn bytes_go_round_and_keep_order(a in any_number(), b in any_number()) {
            let (x, y) = (a.to_ordered_bytes(), b.to_ordered_bytes());
            prop_assert_eq!(a.cmp(&b), x.cmp(&y));
            prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
            prop_assert_eq!(Number::from_ordered_bytes(&x), Some(a));
        }

        #[test]
        fn order_is_that_of_integers(a in any::<i64>(), b in any::<i64>(), e in -100i32..100) {
            let (x, y) = (n(&format!("{a}e{e}")), n(&format!("{b}e{e}")));
            prop_assert_eq!(a.cmp(&b), x.cmp(&y));
        }

        #[test]
        fn sums_agree_with_integers(a in -(1i128 << 60)..(1i128 << 60), b in -(1i128 << 60)..(1i128 << 60), e in -50i32..50) {
            let (x, y) = (n(&format!("{a}e{e}")), n(&format!("{b}e{e}")));
            prop_assert_eq!(x.add(&y).unwrap(), n(&format!("{}e{e}", a + b)));
            prop_assert_eq!(x.subtract(&y).unwrap(), n(&format!("{}e{e}", a - b)));
            prop_assert_eq!(x.add(&y), y.add(&x));
        }

        #[test]
        fn any_text_and_bytes_are_survived(text in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..30)) {
            let _ = text.parse::<Number>();
            let _ = Number::from_ordered_bytes(&bytes);
        }

        #[test]
        fn near_numbers_are_survived(text in "[-+]?[0-9.eE+-]{0,45}") {
            if let Ok(number) = text.parse::<Number>() {
                prop_assert_eq!(number.to_string().parse::<Number>().unwrap(), number);
            }
        }
    }
}
