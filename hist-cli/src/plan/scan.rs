//! The automaton that a program runs over a string's bytes, for patterns that cannot be compared at
//! one place.
//!
//! States are bits of a word, so that all places where a pattern may have got to are followed at
//! once: state n means that the first n parts of the pattern are behind. For each byte that may
//! come, a table says which states go on by one and which stay. A NUL ends a string: it carries
//! the last state to one beyond it, `accepted`, and all others into nothing.

use super::access::arguments::value::{Content, Text};
use super::access::{Access, AccessTable};
use crate::resolve::hist::{COMM_SIZE, GlobPart, Pattern, Room, TextSource, TextTest};

/// The longest string behind a pointer that is compared, in bytes without NUL
/// (`USTRING_BUF_SIZE` in Linux kernel/trace/trace_events_filter.c, less one).
const POINTER_MAX: u32 = 1023;
/// The longest string in a record that is scanned, in bytes: records must fit into a page.
const DYNAMIC_MAX: u32 = 4096;
/// Bits of a word of states.
const WORD_BITS: usize = 64;
/// Words of states that there is room for on the stack.
const WORDS_MAX: usize = 4;
/// Parts that a pattern may have: two states are needed besides one for each.
pub(super) const PARTS_MAX: usize = WORDS_MAX * WORD_BITS - 2;

/// Some of the 256 bytes, one bit for each.
type ByteSet = [u64; 4];

/// What finds a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Part n: the bytes that lead from state n to the next.
    parts: Vec<ByteSet>,
    /// State n stays, whatever byte comes; one more than parts.
    stays: Vec<bool>,
    /// Bytes that are looked at.
    pub limit: u32,
}

impl Scan {
    /// The automaton for `test`; none if its pattern can be compared at one place.
    #[must_use]
    pub fn of(test: &TextTest, access: &AccessTable) -> Option<Self> {
        let limit = limit(test.source, access);
        let mut scan = Self { parts: Vec::new(), stays: vec![false], limit };
        match &test.pattern {
            Pattern::Exact(_) | Pattern::Prefix(_) => return None,
            Pattern::Suffix(_) if has_length(test.source, access) => return None,
            Pattern::Suffix(text) => scan.literal(text),
            Pattern::Contains(text) => {
                scan.literal(text);
                scan.any();
            }
            Pattern::Glob(parts) => parts.iter().for_each(|part| scan.part(part)),
        }
        Some(scan)
    }

    /// `*text`
    fn literal(&mut self, text: &[u8]) {
        self.any();
        text.iter().for_each(|byte| self.push(set(|other| other == *byte)));
    }

    fn part(&mut self, part: &GlobPart) {
        match part {
            GlobPart::Any => self.any(),
            GlobPart::One => self.push(set(|_| true)),
            GlobPart::Byte(byte) => self.push(set(|other| other == *byte)),
            GlobPart::Class { ranges, negated } => self.push(set(|byte| {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
            })),
        }
    }

    fn any(&mut self) {
        if let Some(last) = self.stays.last_mut() {
            *last = true;
        }
    }

    fn push(&mut self, bytes: ByteSet) {
        self.parts.push(bytes);
        self.stays.push(false);
    }

    /// How many parts the pattern has, stars aside.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The state in which all parts are behind.
    #[must_use]
    pub fn last(&self) -> usize {
        self.parts.len()
    }

    /// Once the last state is reached, the answer is known.
    #[must_use]
    pub fn ends_open(&self) -> bool {
        self.stays[self.last()]
    }

    /// The first state which proves a match while bytes may still follow.
    #[must_use]
    pub fn accepted(&self) -> usize {
        if self.ends_open() { self.last() } else { self.last() + 1 }
    }

    /// Words of states: a power of two.
    #[must_use]
    pub fn words(&self) -> usize {
        (self.last() + 2).div_ceil(WORD_BITS).next_power_of_two()
    }

    /// 256 rows, one for each byte: for each word the states that go on, then those that stay.
    #[must_use]
    pub fn table(&self) -> Vec<u8> {
        let bits = |states: &mut dyn Iterator<Item = bool>| {
            let mut words = vec![0_u64; self.words()];
            for (state, _) in states.enumerate().filter(|(_, is_in)| *is_in) {
                words[state / WORD_BITS] |= 1 << (state % WORD_BITS);
            }
            words
        };
        let mut table = Vec::new();
        for byte in 0..=u8::MAX {
            let step = bits(&mut (0..=self.last()).map(|state| self.goes_on(state, byte)));
            let stay = bits(&mut (0..=self.last() + 1).map(|state| self.stays(state, byte)));
            let row = step.into_iter().zip(stay).flat_map(|(step, stay)| [step, stay]);
            table.extend(row.flat_map(u64::to_le_bytes));
        }
        table
    }

    fn goes_on(&self, state: usize, byte: u8) -> bool {
        match self.parts.get(state) {
            Some(bytes) => byte != 0 && bytes[usize::from(byte / 64)] >> (byte % 64) & 1 == 1,
            None => byte == 0,
        }
    }

    fn stays(&self, state: usize, byte: u8) -> bool {
        state >= self.accepted() || byte != 0 && self.stays.get(state) == Some(&true)
    }

    /// Instructions that the verifier looks at, about: it follows the loop for every byte.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let words = self.words() as u64;
        let per_byte = if words == 1 { 21 } else { 14 + 15 * words };
        per_byte * u64::from(self.limit)
    }

    /// Ways that the verifier leaves for later, about: one or two in eight bytes, and two
    /// whenever more of the string is read.
    #[must_use]
    pub fn branches(&self) -> u64 {
        let looks = if self.words() == 1 { 1 } else { 2 };
        u64::from(self.limit).div_ceil(8) * looks + u64::from(self.limit).div_ceil(64) * 2
    }
}

/// Bytes of a string that are looked at.
#[must_use]
pub fn limit(source: TextSource, access: &AccessTable) -> u32 {
    let text = match source {
        TextSource::Field(text) => text,
        TextSource::Pointer { .. } => return POINTER_MAX,
        TextSource::Comm => return COMM_SIZE,
    };
    match (access.argument(text.field).map(|argument| &argument.content), text.room) {
        (Some(Content::Text(Text::Inside { size, .. })), _) => *size,
        (Some(Content::Text(Text::Comm)), _) => COMM_SIZE,
        (_, Room::Array(size)) => size,
        (_, Room::Varying) => DYNAMIC_MAX,
    }
}

/// The record says where the string ends.
fn has_length(source: TextSource, access: &AccessTable) -> bool {
    let TextSource::Field(text) = source else { return false };
    text.room == Room::Varying && matches!(access.get(text.field), Some(Access::Record(_)))
}

fn set(is_in: impl Fn(u8) -> bool) -> ByteSet {
    let mut set = [0; 4];
    for byte in (0..=u8::MAX).filter(|byte| is_in(*byte)) {
        set[usize::from(byte / 64)] |= 1 << (byte % 64);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(parts: Vec<GlobPart>) -> Scan {
        let test = TextTest {
            label: String::new(),
            source: TextSource::Comm,
            pattern: Pattern::Glob(parts),
            negated: false,
        };
        Scan::of(&test, &AccessTable::default()).unwrap()
    }

    /// Runs the table as programs do.
    fn matches(scan: &Scan, text: &[u8]) -> bool {
        let table = scan.table();
        let word = |at: usize| u64::from_le_bytes(table[at * 8..at * 8 + 8].try_into().unwrap());
        let mut states = 1;
        for byte in text {
            let row = usize::from(*byte) * 2;
            states = (states & word(row)) << 1 | states & word(row + 1);
        }
        states >> scan.last() != 0
    }

    #[test]
    fn a_table_finds_what_the_glob_means() {
        use GlobPart::{Any, Byte, Class, One};
        let digits = Class { ranges: vec![(b'0', b'9')], negated: false };
        let glob = scan(vec![Byte(b'a'), Any, digits, One]);
        for text in [&b"a1x\0"[..], b"abc12\0", b"a\x8000", b"a12\0zz"] {
            assert!(matches(&glob, text), "{text:?}");
        }
        for text in [&b"a1\0x"[..], b"b1x\0", b"a\x001x\0", b"", b"a1xy\0"] {
            assert!(!matches(&glob, text), "{text:?}");
        }
        assert!(matches(&scan(vec![Any]), b"\0"));
        assert!(matches(&scan(vec![]), b"\0a"));
        assert!(!matches(&scan(vec![]), b"a"));
        let other = Class { ranges: vec![(b'a', b'a')], negated: true };
        assert!(!matches(&scan(vec![other]), b"\0"), "a NUL is not one of the other bytes");
    }

    #[test]
    fn long_patterns_take_more_words() {
        let words = |parts| scan(vec![GlobPart::One; parts]).words();
        assert_eq!([62, 63, 126, 127, PARTS_MAX].map(words), [1, 2, 2, 4, 4]);
    }
}
