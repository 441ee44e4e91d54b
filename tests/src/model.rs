//! Counts hits one by one as any right engine must. It is written straight from the specification,
//! and shares no code with codegen or the templates.

use std::collections::{BTreeSet, HashMap};

use hist_cli::kernel::format::{FieldFormat, FieldId};
use hist_cli::modifier::BucketWidth;
use hist_cli::parse::ast::{BinaryOp, CompareOp};
use hist_cli::plan::Plan;
use hist_cli::read::empty;
use hist_cli::resolve::Fold;
use hist_cli::resolve::hist::{
    Compare, Condition, CpumaskOp, CpumaskTest, GlobPart, Hist, KeySource, NumberField, Pattern,
    Room, Source, TextField, TextSource, TextTest,
};
use hist_cli::snapshot::{Row, Snapshot};

/// One occurrence of an event.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The event's record, as in a tracepoint program's context.
    pub record: &'a [u8],
    /// The thread it happened in.
    pub pid: u32,
    /// The CPU it happened on.
    pub cpu: u32,
    /// The thread's name, NUL-padded.
    pub comm: [u8; 16],
    /// What every clock said (ns).
    pub now: u64,
    /// What there is at addresses.
    pub memory: &'a dyn Memory,
}

/// Memory behind the pointers of a record.
pub trait Memory: std::fmt::Debug {
    /// The bytes from `address` on, as far as they can be read; empty if none can.
    fn at(&self, address: u64, user: bool) -> &[u8];
}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub struct NoMemory;

impl Memory for NoMemory {
    fn at(&self, _: u64, _: bool) -> &[u8] {
        &[]
    }
}

/// What is known of a key.
#[derive(Clone, Debug)]
struct Counted {
    hits: u64,
    values: Vec<u64>,
    comm: [u8; 16],
}

/// A hit, and where its event's fields lie in its record.
#[derive(Clone, Copy, Debug)]
struct Seen<'a> {
    hit: Hit<'a>,
    fields: &'a [FieldFormat],
}

impl<'a> Seen<'a> {
    /// The `size` bytes of the record at `offset`, as a number.
    fn number(&self, offset: usize, size: usize, signed: bool) -> u64 {
        let bytes = &self.hit.record[offset..offset + size];
        let negative = signed && bytes[bytes.len() - 1] >= 0x80;
        let mut image = [if negative { 0xff } else { 0 }; 8];
        image[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(image)
    }

    /// From the record's start, in bytes.
    fn offset(&self, field: FieldId) -> usize {
        self.fields[field.0].offset as usize
    }

    /// Where the data of a `__data_loc` or `__rel_loc` field begin, and how many bytes they have.
    fn located(&self, field: FieldId) -> (usize, usize) {
        let offset = self.offset(field);
        let word = self.number(offset, 4, false) as usize;
        let is_relative = self.fields[field.0].type_name.starts_with("__rel_loc");
        let base = if is_relative { offset + 4 } else { 0 };
        (base + (word & 0xffff), word >> 16)
    }
}

/// A histogram kept in plain Rust.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    plan: &'a Plan,
    entries: HashMap<Vec<u8>, Counted>,
    dropped: u64,
}

impl<'a> Model<'a> {
    /// An empty histogram for the plan's `Hist`; the plan's own layout is not looked at.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Self { plan, entries: HashMap::new(), dropped: 0 }
    }

    /// Counts one hit.
    pub fn hit(&mut self, hit: Hit<'_>) {
        let hist = &self.plan.hist;
        let seen = Seen { hit, fields: &hist.fields };
        if hist.paused || !hist.filter.as_ref().is_none_or(|filter| holds(&filter.tree, seen)) {
            return;
        }
        let key = key(hist, seen);
        if !self.entries.contains_key(&key) && self.entries.len() >= hist.size as usize {
            self.dropped += 1;
            return;
        }
        let entry = self.entries.entry(key).or_insert_with(|| Counted {
            hits: 0,
            values: vec![0; hist.values.len()],
            comm: if hist.keeps_comm() { hit.comm } else { [0; 16] },
        });
        entry.hits += 1;
        for (number, value) in entry.values.iter_mut().zip(&hist.values) {
            let new = image(&value.source, seen);
            *number = match value.fold {
                Fold::Sum => number.wrapping_add(new),
            };
        }
    }

    /// Everything counted so far, unsorted.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = empty(self.plan, self.plan.hist.paused);
        snapshot.losses.full = self.dropped;
        snapshot.rows = self.entries.iter().map(row).collect();
        snapshot
    }
}

fn row((key, entry): (&Vec<u8>, &Counted)) -> Row {
    let Counted { hits, values, comm } = entry;
    Row::new(key, *hits, values).of_task(comm)
}

fn key(hist: &Hist, seen: Seen<'_>) -> Vec<u8> {
    hist.keys.iter().flat_map(|key| key_part(&key.source, seen)).collect()
}

fn key_part(source: &KeySource, seen: Seen<'_>) -> Vec<u8> {
    match source {
        KeySource::Number(source) => image(source, seen).to_le_bytes().to_vec(),
        KeySource::Text(field) => text(*field, seen),
        KeySource::Comm => seen.hit.comm.to_vec(),
        KeySource::Stack => panic!("the model has no stacks"),
    }
}

/// What is kept of a string: all but the last byte of its slot, up to the NUL; of one in the
/// variable part no more than its length. What is not there is no string.
fn text(TextField { field, room }: TextField, seen: Seen<'_>) -> Vec<u8> {
    let (start, slot, most) = match room {
        Room::Array(size) => {
            let slot = size.next_multiple_of(8);
            (seen.offset(field), slot, size.min(slot - 1) as usize)
        }
        Room::Varying => {
            let (start, length) = seen.located(field);
            (start, 256, length.min(255))
        }
    };
    let rest = seen.hit.record.get(start..).unwrap_or_default();
    let kept = rest.iter().take(most).take_while(|byte| **byte != 0);
    let mut text: Vec<u8> = kept.copied().collect();
    text.resize(slot as usize, 0);
    text
}

/// The least n with `number <= 2^n`; 0 for 0.
fn log2(number: u64) -> u64 {
    (0..64).find(|n| number <= 1 << n).unwrap_or(64)
}

fn image(source: &Source, seen: Seen<'_>) -> u64 {
    match source {
        Source::Field(field) => field_image(*field, seen),
        Source::Pid => u64::from(seen.hit.pid),
        Source::Cpu => u64::from(seen.hit.cpu),
        Source::Timestamp { usecs: false, .. } => seen.hit.now,
        Source::Timestamp { usecs: true, .. } => seen.hit.now / 1000,
        Source::Constant(number) => *number,
        Source::Bucket(BucketWidth::Log2, inner) => log2(image(inner, seen)),
        Source::Bucket(BucketWidth::Fixed(width), inner) => image(inner, seen) / width * width,
        Source::Negate(inner) => image(inner, seen).wrapping_neg(),
        Source::Binary(op, lhs, rhs) => {
            let (lhs, rhs) = (image(lhs, seen), image(rhs, seen));
            match op {
                BinaryOp::Add => lhs.wrapping_add(rhs),
                BinaryOp::Sub => lhs.wrapping_sub(rhs),
                BinaryOp::Mul => lhs.wrapping_mul(rhs),
                BinaryOp::Div => lhs.checked_div(rhs).unwrap_or(u64::MAX),
            }
        }
    }
}

fn field_image(NumberField { field, size, signed }: NumberField, seen: Seen<'_>) -> u64 {
    seen.number(seen.offset(field), size as usize, signed)
}

fn holds(condition: &Condition, seen: Seen<'_>) -> bool {
    match condition {
        Condition::Any(parts) => parts.iter().any(|part| holds(part, seen)),
        Condition::All(parts) => parts.iter().all(|part| holds(part, seen)),
        Condition::Not(inner) => !holds(inner, seen),
        Condition::Compare(compare) => compare_holds(compare, seen),
        Condition::Within(within) => {
            let number = image(&within.source, seen);
            within.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
        }
        Condition::Text(test) => text_holds(test, seen),
        Condition::Cpumask(test) => cpumask_holds(test, seen),
        Condition::Always(answer) => *answer,
    }
}

fn compare_holds(compare: &Compare, seen: Seen<'_>) -> bool {
    let number = image(&compare.source, seen);
    let constant = compare.constant;
    let order = if compare.signed {
        number.cast_signed().cmp(&constant.cast_signed())
    } else {
        number.cmp(&constant)
    };
    match compare.op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::Ne => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
        CompareOp::And => number & constant != 0,
        CompareOp::Glob => panic!("a glob compares strings"),
    }
}

fn text_holds(test: &TextTest, seen: Seen<'_>) -> bool {
    let Some((text, room)) = string(test.source, &seen) else { return false };
    (match &test.pattern {
        Pattern::Exact(wanted) => text == wanted,
        Pattern::Prefix(wanted) => text.starts_with(wanted),
        // In the variable part of a record the end is where the length says.
        Pattern::Suffix(wanted) => {
            let end = match test.source {
                TextSource::Field(TextField { room: Room::Varying, .. }) => {
                    room.len().checked_sub(1)
                }
                _ => Some(text.len()),
            };
            end.is_some_and(|end| room[..end].ends_with(wanted))
        }
        Pattern::Contains(wanted) => {
            wanted.is_empty() || text.windows(wanted.len()).any(|part| part == wanted)
        }
        Pattern::Glob(parts) => glob_holds(parts, text),
    }) != test.negated
}

/// The string up to its NUL, and all of its room; `None` if it cannot be read.
fn string<'a>(source: TextSource, seen: &'a Seen<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let hit = &seen.hit;
    let room = match source {
        TextSource::Field(TextField { field, room: Room::Array(size) }) => {
            &hit.record[seen.offset(field)..][..size as usize]
        }
        TextSource::Field(TextField { field, room: Room::Varying }) => {
            let (start, length) = seen.located(field);
            &hit.record[start..][..length]
        }
        TextSource::Pointer { field, user } => {
            let memory = hit.memory.at(seen.number(seen.offset(field), 8, false), user);
            let readable = &memory[..memory.len().min(1023)];
            // A string that runs into memory which is not there cannot be read at all.
            if memory.len() < 1023 && !readable.contains(&0) {
                return None;
            }
            readable
        }
        TextSource::Comm => &hit.comm,
    };
    let end = room.iter().position(|byte| *byte == 0).unwrap_or(room.len());
    Some((&room[..end], room))
}

/// By the set of places in the text up to which the parts so far can reach: trying every length for
/// every star takes forever where there are many.
fn glob_holds(parts: &[GlobPart], text: &[u8]) -> bool {
    let mut reached = BTreeSet::from([0]);
    for part in parts {
        let one = |at: &usize| text.get(*at).is_some_and(|byte| is_one(part, *byte));
        reached = match part {
            GlobPart::Any => reached.first().map_or(0..0, |first| *first..text.len() + 1).collect(),
            _ => reached.iter().filter(|at| one(at)).map(|at| at + 1).collect(),
        };
    }
    reached.contains(&text.len())
}

fn is_one(part: &GlobPart, byte: u8) -> bool {
    match part {
        GlobPart::Any | GlobPart::One => true,
        GlobPart::Byte(wanted) => byte == *wanted,
        GlobPart::Class { ranges, negated } => {
            ranges.iter().any(|(low, high)| *low <= byte && byte <= *high) != *negated
        }
    }
}

fn cpumask_holds(test: &CpumaskTest, seen: Seen<'_>) -> bool {
    let (start, _) = seen.located(test.field);
    let mask = &seen.hit.record[start..][..test.cpus.len() * 8];
    let wanted = test.cpus.iter().flat_map(|word| word.to_le_bytes());
    match test.op {
        CpumaskOp::Equal => mask.iter().copied().eq(wanted),
        CpumaskOp::Intersects => mask.iter().zip(wanted).any(|(mask, wanted)| mask & wanted != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hist_cli::kernel::Context;
    use hist_cli::kernel::format;
    use hist_cli::pipeline;
    use hist_cli::plan::Wishes;

    /// `s` fills its array with `abcdefgh`, `t` is `ab` with `xy` behind its NUL, and `d` is
    /// `cd`, a NUL and `zz`, without one at its end.
    const RECORD: &[u8; 33] = b"\0\0\0\0\0\0\0\0abcdefghab\0xy\0\0\0\x1c\0\x05\0cd\0zz";
    const FORMAT: &str = "name: e\nID: 1\nformat:\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:char s[8];\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:char t[8];\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] d;\toffset:24;\tsize:4;\tsigned:0;\n\nprint fmt: \"\"\n";

    fn counts(filter: &str) -> bool {
        let event = format::parse("s", FORMAT).expect("a format");
        let trigger = format!("hist:keys=common_pid if {filter}");
        let plan = pipeline::plan(&trigger, &event, &Context::default(), Wishes::default());
        let plan = plan.expect("a trigger");
        let mut model = Model::new(&plan);
        let comm = [0; 16];
        model.hit(Hit { record: RECORD, pid: 1, cpu: 0, comm, now: 0, memory: &NoMemory });
        model.snapshot().rows.len() == 1
    }

    /// Where the kernel differs, docs/compatibility.md says so.
    /// A random glob of many stars kept the test of strings busy for minutes.
    #[test]
    fn a_glob_of_many_stars_took_forever() {
        let stars: Vec<_> = (0..40).flat_map(|_| [GlobPart::Any, GlobPart::Byte(b'a')]).collect();
        let text = [b'a'; 200];
        assert!(glob_holds(&stars, &text));
        assert!(!glob_holds(&[&stars[..], &[GlobPart::Byte(b'b')]].concat(), &text));
        assert!(!glob_holds(&stars, &text[..39]));
        assert!(glob_holds(&[GlobPart::Any], b"") && glob_holds(&[], b""));
        assert!(!glob_holds(&[GlobPart::One], b""));
    }

    #[test]
    fn strings_end_at_their_nul_or_with_their_room() {
        for (filter, holds) in [
            ("s == \"abcdefgh\"", true),
            ("s == \"abcdefghi\"", false),
            ("s ~ \"*fgh\"", true),
            ("t ~ \"*b*\"", true),
            ("t ~ \"*x*\"", false),
            ("t ~ \"*b\"", true),
            ("d == \"cd\"", true),
            ("d ~ \"*d*\"", true),
            ("d ~ \"*z*\"", false),
        ] {
            assert_eq!(counts(filter), holds, "{filter}");
        }
    }

    #[test]
    fn log2_is_the_specified_one() {
        for (number, bucket) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (1023, 10),
            (1024, 10),
            (1025, 11),
            (1 << 63, 63),
            ((1 << 63) + 1, 64),
            (u64::MAX, 64),
        ] {
            assert_eq!(log2(number), bucket, "{number}");
        }
    }
}
