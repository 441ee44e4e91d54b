//! The sign and width of everything that is counted. Every format but ftrace's own text, which
//! prints all numbers as unsigned, asks here.

use super::hist::{Key, NumberField, Order, Source, Value};
use crate::modifier::{BucketWidth, Digits, Show};
use crate::parse::ast::BinaryOp;

/// What the 64 bits of a key or of a sum mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntType {
    /// Two's complement.
    pub signed: bool,
    /// 8, 16, 32 or 64. A narrower number is extended to 64 bits by its sign.
    pub bits: u32,
}

impl IntType {
    /// 64 bits without a sign.
    pub const U64: Self = Self { signed: false, bits: 64 };
    /// 64 bits with a sign.
    pub const S64: Self = Self { signed: true, bits: 64 };

    /// The number that `word` stands for.
    #[must_use]
    pub fn value(self, word: u64) -> i128 {
        if self.signed { word.cast_signed().into() } else { word.into() }
    }

    /// The same in decimal.
    #[must_use]
    pub fn decimal(self, word: u64) -> String {
        if self.signed { word.cast_signed().to_string() } else { word.to_string() }
    }

    /// The same in those digits. Only decimal ones have a sign; others show the bits, as many as the
    /// type has.
    #[must_use]
    pub fn digits(self, digits: Digits, word: u64) -> String {
        match digits {
            Digits::Decimal => self.decimal(word),
            others => others.text(word & (u64::MAX >> (64 - self.bits.clamp(1, 64)))),
        }
    }

    /// How far the number is from 0.
    #[must_use]
    pub const fn magnitude(self, word: u64) -> u64 {
        if self.signed { word.cast_signed().unsigned_abs() } else { word }
    }

    /// A number that compares, unsigned, as `word` does.
    #[must_use]
    pub const fn rank(self, word: u64) -> u64 {
        if self.signed { word ^ (1 << 63) } else { word }
    }
}

impl Key {
    /// The type of its numbers; of what is in buckets, the type of the numbers that the buckets
    /// divide. Strings and stacks are [`IntType::U64`], which nothing asks for.
    #[must_use]
    pub fn int_type(&self) -> IntType {
        let super::hist::KeySource::Number(source) = &self.source else { return IntType::U64 };
        let (signed, bytes) = match self.order {
            Order::Signed(bytes) => (true, bytes),
            Order::Unsigned(bytes) => (is_small(source) && may_be_negative(source), bytes),
            Order::Text | Order::None => (false, 8),
        };
        match self.show() {
            // Addresses.
            Show::Name(naming) if naming.is_symbol() => IntType::U64,
            // A bucket may begin below the least number of its field's type.
            Show::Bucket(_) => IntType { signed, bits: 64 },
            _ => IntType { signed, bits: 8 * bytes.clamp(1, 8) },
        }
    }
}

impl Value {
    /// The type of its sum, which has 64 bits whatever the field has. A sum that may fall has a
    /// sign.
    #[must_use]
    pub fn int_type(&self) -> IntType {
        IntType { signed: may_be_negative(&self.source), bits: 64 }
    }
}

fn may_be_negative(source: &Source) -> bool {
    match source {
        Source::Field(NumberField { signed, .. }) => *signed,
        Source::Negate(_) | Source::Binary(BinaryOp::Sub, ..) => true,
        Source::Binary(_, left, right) => may_be_negative(left) || may_be_negative(right),
        Source::Constant(number) => number.cast_signed() < 0,
        Source::Bucket(BucketWidth::Fixed(_), inner) => may_be_negative(inner),
        Source::Bucket(BucketWidth::Log2, _)
        | Source::Pid
        | Source::Cpu
        | Source::Timestamp { .. } => false,
    }
}

/// It is never 2^63 or more, so a high bit is a sign. Of 64 bits without a sign that cannot be
/// known: less something, an address is still one.
fn is_small(source: &Source) -> bool {
    match source {
        Source::Field(NumberField { size, .. }) => *size < 8,
        Source::Pid | Source::Cpu | Source::Bucket(BucketWidth::Log2, _) => true,
        Source::Constant(number) => *number <= u32::MAX.into(),
        Source::Timestamp { .. } => false,
        Source::Bucket(BucketWidth::Fixed(_), inner) | Source::Negate(inner) => is_small(inner),
        Source::Binary(BinaryOp::Add | BinaryOp::Sub, left, right) => {
            is_small(left) && is_small(right)
        }
        Source::Binary(BinaryOp::Mul | BinaryOp::Div, ..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::format::FieldId;
    use crate::modifier::{self, Modifier};
    use crate::resolve::Fold;
    use crate::resolve::hist::KeySource;

    fn field(size: u32, signed: bool) -> Source {
        Source::Field(NumberField { field: FieldId(0), size, signed })
    }

    fn less(left: Source, right: Source) -> Source {
        Source::Binary(BinaryOp::Sub, Box::new(left), Box::new(right))
    }

    fn key(source: Source, order: Order, modifier: Option<Modifier>) -> IntType {
        let (label, canonical) = (String::new(), String::new());
        Key { label, canonical, source: KeySource::Number(source), order, modifier }.int_type()
    }

    #[test]
    fn keys_have_the_type_of_their_field() {
        let s32 = IntType { signed: true, bits: 32 };
        let with = |word| Some(modifier::row(word).expect("a modifier").example());
        assert_eq!(key(field(4, true), Order::Signed(4), None), s32);
        assert_eq!(key(field(8, false), Order::Unsigned(8), with("hex")), IntType::U64);
        assert_eq!(key(field(8, true), Order::Signed(8), with("sym")), IntType::U64);
        assert_eq!(key(field(1, true), Order::Signed(1), with("buckets")), IntType::S64);
    }

    #[test]
    fn a_small_difference_has_a_sign_and_an_address_has_none() {
        let of = |source| key(source, Order::Unsigned(8), None);
        assert_eq!(of(less(field(4, false), field(4, false))), IntType::S64);
        assert_eq!(of(less(field(8, false), Source::Constant(16))), IntType::U64);
    }

    #[test]
    fn sums_that_may_fall_have_a_sign() {
        let of = |source| {
            let (label, canonical, hidden) = (String::new(), String::new(), false);
            let (fold, modifier) = (Fold::Sum, None);
            Value { label, canonical, source, fold, modifier, hidden }.int_type()
        };
        assert_eq!(of(field(4, true)), IntType::S64);
        assert_eq!(of(field(4, false)), IntType::U64);
        assert_eq!(of(less(field(8, false), field(8, false))), IntType::S64);
        assert_eq!(
            of(Source::Bucket(BucketWidth::Fixed(10), Box::new(field(4, true)))),
            IntType::S64
        );
        assert_eq!(of(Source::Bucket(BucketWidth::Log2, Box::new(field(4, true)))), IntType::U64);
    }

    #[test]
    fn numbers_show_their_sign_and_width() {
        let (minus, s32) = ((-5_i64).cast_unsigned(), IntType { signed: true, bits: 32 });
        assert_eq!(
            (s32.decimal(minus), s32.digits(Digits::Hex, minus)),
            ("-5".into(), "fffffffb".into())
        );
        assert_eq!((s32.value(minus), s32.magnitude(minus)), (-5, 5));
        assert_eq!(IntType::U64.digits(Digits::Hex, minus), "fffffffffffffffb");
        assert_eq!(IntType::U64.decimal(minus), "18446744073709551611");
        assert!(s32.rank(minus) < s32.rank(0) && s32.rank(0) < s32.rank(1));
    }
}
