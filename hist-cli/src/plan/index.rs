//! Numbers the entries of a histogram whose keys can have few different values: it is kept in an array.
//! Every key has a number, and every number a key.

use crate::modifier::BucketWidth;
use crate::parse::ast::BinaryOp;
use crate::resolve::hist::{Hist, KeySource, NumberField, Source};
use crate::snapshot::KeyBytes;

/// The most entries that an array is made for. It is read as a whole, whatever has been hit.
pub(super) const ENTRIES_MAX: u32 = 4096;

/// What `log2` can give: 0 to 64.
const POWERS: u64 = 65;

/// How keys are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What gives the number of a hit's entry.
    pub source: Source,
    /// How many numbers there are.
    pub entries: u32,
    /// One for each key, the first the most significant.
    digits: Vec<Digit>,
}

/// The part of the number that one key makes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Digit {
    /// What gives it.
    source: Source,
    /// It is less than that.
    base: u64,
    /// What the key's number is, given this one.
    image: Image,
}

/// How a digit becomes the number in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    /// So many times.
    Times(u64),
    /// Its lowest bits, so many, have a sign.
    Signed(u32),
}

impl Index {
    /// The numbering of `hist`'s keys, unless there are more than `most` of them or it is not
    /// known how many. `cpus` says how many CPUs there may be.
    #[must_use]
    pub fn of(hist: &Hist, cpus: Option<u32>, most: u32) -> Option<Self> {
        // An entry keeps the name of who made it, which an array has no first hit to tell by.
        if hist.keeps_comm() {
            return None;
        }
        let digits = hist.keys.iter().map(|key| match &key.source {
            KeySource::Number(source) => digit(source, cpus),
            _ => None,
        });
        let digits: Vec<Digit> = digits.collect::<Option<_>>()?;
        let entries = digits.iter().try_fold(1_u64, |all, digit| all.checked_mul(digit.base))?;
        let entries = u32::try_from(entries).ok().filter(|entries| *entries <= most)?;
        let source = digits.iter().map(|digit| (digit.source.clone(), digit.base));
        let source = source.reduce(|(upper, _), (lower, base)| {
            let upper = binary(BinaryOp::Mul, upper, Source::Constant(base));
            (binary(BinaryOp::Add, upper, lower), base)
        })?;
        Some(Self { source: source.0, entries, digits })
    }

    /// The key of entry `number`, as it would stand in a hash.
    #[must_use]
    pub fn key(&self, number: u32) -> KeyBytes {
        let mut rest = u64::from(number);
        let mut images: Vec<u64> = Vec::with_capacity(self.digits.len());
        for digit in self.digits.iter().rev() {
            images.push(digit.image.of(rest % digit.base));
            rest /= digit.base;
        }
        images.iter().rev().flat_map(|image| image.to_le_bytes()).collect()
    }
}

impl Image {
    fn of(self, digit: u64) -> u64 {
        match self {
            Self::Times(step) => digit * step,
            Self::Signed(bits) => {
                ((digit << (64 - bits)).cast_signed() >> (64 - bits)).cast_unsigned()
            }
        }
    }
}

fn digit(source: &Source, cpus: Option<u32>) -> Option<Digit> {
    let number = |base, image| Some(Digit { source: source.clone(), base, image });
    match source {
        Source::Cpu => number(u64::from(cpus?), Image::Times(1)),
        Source::Constant(0) => number(1, Image::Times(0)),
        Source::Bucket(BucketWidth::Log2, inner) => {
            number(bits(inner).map_or(POWERS, |bits| u64::from(bits) + 1), Image::Times(1))
        }
        Source::Field(field @ NumberField { signed: true, size, .. }) => {
            let unsigned = Source::Field(NumberField { signed: false, ..*field });
            let Digit { base, source, .. } = digit(&unsigned, cpus)?;
            Some(Digit { source, base, image: Image::Signed(8 * size) })
        }
        Source::Field(_) => number(1 << bits(source)?, Image::Times(1)),
        Source::Bucket(BucketWidth::Fixed(width), inner) => {
            let most = match **inner {
                Source::Cpu => u64::from(cpus?) - 1,
                _ => (1 << bits(inner)?) - 1,
            };
            let source = binary(BinaryOp::Div, (**inner).clone(), Source::Constant(*width));
            Some(Digit { source, base: most / width + 1, image: Image::Times(*width) })
        }
        _ => None,
    }
}

/// How many low bits of an unsigned field may be set, if those are few.
fn bits(source: &Source) -> Option<u32> {
    match source {
        Source::Field(NumberField { size, signed: false, .. }) if *size < 8 => Some(8 * size),
        _ => None,
    }
}

fn binary(op: BinaryOp, lhs: Source, rhs: Source) -> Source {
    Source::Binary(op, Box::new(lhs), Box::new(rhs))
}

#[cfg(test)]
mod tests {
    use crate::kernel::format::{EventFormat, FieldFormat};
    use crate::kernel::{Context, EventName};
    use crate::pipeline::plan;
    use crate::plan::{MapKind, Wishes};

    fn event() -> EventFormat {
        let field = |name: &str, offset, size, signed| FieldFormat {
            name: name.to_owned(),
            type_name: format!("{}{}", if signed { 's' } else { 'u' }, size * 8),
            offset,
            size,
            signed,
            common: false,
        };
        let fields = vec![
            field("byte", 8, 1, false),
            field("char", 9, 1, true),
            field("half", 10, 2, false),
            field("int", 12, 4, true),
            field("long", 16, 8, false),
        ];
        EventFormat { name: EventName::new("a", "b"), id: 1, all_calls: None, fields }
    }

    /// How many entries the array for these keys has; `None` if it is none.
    fn entries(trigger: &str) -> Option<u32> {
        let context = Context { possible_cpus: Some(4), ..Context::default() };
        let plan = plan(trigger, &event(), &context, Wishes::default()).unwrap();
        (plan.map.kind == MapKind::PerCpuArray).then_some(plan.map.max_entries)
    }

    #[test]
    fn few_keys_make_an_array() {
        for (keys, count) in [
            ("long.log2", 65),
            ("int.log2", 65),
            ("half.log2", 17),
            ("byte.log2", 9),
            ("byte", 256),
            ("char", 256),
            ("common_cpu", 4),
            ("byte.buckets=100", 3),
            ("half.buckets=64", 1024),
            ("long.log2,common_cpu", 260),
        ] {
            assert_eq!(entries(&format!("hist:keys={keys}")), Some(count), "{keys}");
        }
    }

    #[test]
    fn other_keys_make_a_hash() {
        for rest in [
            "long",
            "int.buckets=64",
            "half",
            "long.buckets=64",
            "half.buckets=2",
            "byte,byte",
            "long+int",
            "stacktrace",
            "byte.log2,long",
            // Fewer entries than keys: some must be dropped.
            "byte:size=128",
        ] {
            assert_eq!(entries(&format!("hist:keys={rest}")), None, "{rest}");
        }
        // Another event's `byte` may be something else.
        assert_eq!(entries("hist:name=n:keys=byte.log2"), None);
    }

    #[test]
    fn numbers_are_keys_again() {
        let context = Context { possible_cpus: Some(4), ..Context::default() };
        let trigger = "hist:keys=char,byte.buckets=100";
        let plan = plan(trigger, &event(), &context, Wishes::default()).unwrap();
        let index = plan.index.unwrap();
        let words = |number| {
            let key = index.key(number);
            [&key[..8], &key[8..]].map(|word| i64::from_le_bytes(word.try_into().unwrap()))
        };
        assert_eq!(words(0), [0, 0]);
        assert_eq!(words(2), [0, 200]);
        assert_eq!(words(127 * 3), [127, 0]);
        assert_eq!(words(255 * 3 + 1), [-1, 100]);
    }
}
