//! A resolved trigger: what is counted, whatever way the program gets its events.

use bstr::BString;

use super::Fold;
use crate::kernel::EventName;
use crate::kernel::format::{FieldFormat, FieldId};
use crate::modifier::{BucketWidth, Modifier, Naming, Role, Show};
use crate::parse::ast::{BinaryOp, CompareOp};

/// Bytes of a task's name, NUL included (`TASK_COMM_LEN` in Linux include/linux/sched.h).
pub const COMM_SIZE: u32 = 16;

/// A histogram to be kept: what to count, under which keys, in which order to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hist {
    /// The event that is counted.
    pub event: EventName,
    /// Triggers of the same name count in one table.
    pub name: Option<BString>,
    /// The event's number, by which the kernel knows it.
    pub event_id: u32,
    /// The number of the event of all system calls, if the event is that of a single one.
    pub all_calls: Option<u32>,
    /// The length of the fixed part of the event's record, in bytes.
    pub record_size: u32,
    /// The event's fields: a [`FieldId`] is an index into them.
    pub fields: Vec<FieldFormat>,
    /// 1 to 3.
    pub keys: Vec<Key>,
    /// The values besides the hitcount, 0 to 2.
    pub values: Vec<Value>,
    /// 1 or 2.
    pub sort: Vec<Sort>,
    /// Capacity in entries: a power of two from 128 to 131072.
    pub size: u32,
    /// Counting starts paused.
    pub paused: bool,
    /// Entries do not show their hitcount.
    pub nohitcount: bool,
    /// The clock of `common_timestamp`; absent if nothing uses that.
    pub clock: Option<Clock>,
    /// Which hits count; all if absent.
    pub filter: Option<Filter>,
}

impl Hist {
    /// What the event's format says of a field.
    #[must_use]
    pub fn field(&self, id: FieldId) -> &FieldFormat {
        &self.fields[id.0]
    }
}

/// One part of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What entries call it: the name as typed; empty for a constant.
    pub label: String,
    /// What the trigger line calls it, without modifier.
    pub canonical: String,
    /// Where it comes from.
    pub source: KeySource,
    /// How sorting compares it.
    pub order: Order,
    /// How it is counted and shown.
    pub modifier: Option<Modifier>,
}

impl Hist {
    /// Entries keep the name of the task that made them.
    #[must_use]
    pub fn keeps_comm(&self) -> bool {
        self.keys.iter().any(|key| key.show() == Show::Name(Naming::Task))
    }
}

impl Key {
    /// How it is shown: as its modifier says, else by its type. The kernel asks in that order.
    #[must_use]
    pub fn show(&self) -> Show {
        let by_type = match self.source {
            KeySource::Number(_) => Show::DECIMAL,
            KeySource::Stack => Show::Stack,
            KeySource::Text(_) | KeySource::Comm => Show::Text,
        };
        self.modifier.and_then(|modifier| modifier.show(Role::Key)).unwrap_or(by_type)
    }

    /// The buckets that it is counted by.
    #[must_use]
    pub fn buckets(&self) -> Option<BucketWidth> {
        self.modifier.and_then(Modifier::buckets)
    }
}

impl Value {
    /// How it is shown.
    #[must_use]
    pub fn show(&self) -> Show {
        self.modifier.and_then(|modifier| modifier.show(Role::Value)).unwrap_or(Show::DECIMAL)
    }
}

/// How sorting by a key compares entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The low 1, 2, 4 or 8 bytes as a signed number.
    Signed(u32),
    /// The low 1, 2, 4 or 8 bytes as an unsigned number.
    Unsigned(u32),
    /// As strings, up to the NUL.
    Text,
    /// All are equal.
    None,
}

/// A number that every hit has, and that an entry has one of for all its hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What entries call it; empty for a constant.
    pub label: String,
    /// What the trigger line calls it, without modifier.
    pub canonical: String,
    /// Where it comes from.
    pub source: Source,
    /// How the numbers of an entry's hits are put together.
    pub fold: Fold,
    /// How it is shown.
    pub modifier: Option<Modifier>,
    /// Entries never show it: it is an expression, only good for sorting.
    pub hidden: bool,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A number: 8 bytes.
    Number(Source),
    /// A string, without what follows its NUL.
    Text(TextField),
    /// The current task's name.
    Comm,
    /// The kernel stack of the hit.
    Stack,
}

/// A field that is a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextField {
    /// Which one.
    pub field: FieldId,
    /// What is known of its length.
    pub room: Room,
}

/// How long a string can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// `char[N]`: that many bytes, with or without a NUL.
    Array(u32),
    /// `__data_loc char[]` or `__rel_loc char[]`: each event says how many bytes.
    Varying,
}

/// Where a number comes from. The result is its u64 image: sign-extended if signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A field of the event.
    Field(NumberField),
    /// The thread that the event happened in: what `common_pid` holds in the record.
    Pid,
    /// The CPU that the event happened on.
    Cpu,
    /// The time of the hit.
    Timestamp {
        /// Of which clock.
        clock: Clock,
        /// Nanoseconds divided by 1000.
        usecs: bool,
    },
    /// A number written in the trigger.
    Constant(u64),
    /// The bucket that the number falls into. Of [`BucketWidth::Log2`], the exponent of the least
    /// power of two that is not below, 0 for 0; of [`BucketWidth::Fixed`], the multiple at or below.
    Bucket(BucketWidth, Box<Source>),
    /// The two's complement.
    Negate(Box<Source>),
    /// Arithmetic on wrapping u64; a division by 0 gives all ones.
    Binary(BinaryOp, Box<Source>, Box<Source>),
}

/// A trace clock that programs can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// `local`: the program reads CLOCK_MONOTONIC, from which it differs by a constant.
    Local,
    /// `global`, the default: as `local`.
    Global,
    /// `mono`: CLOCK_MONOTONIC.
    Mono,
    /// `boot`: CLOCK_BOOTTIME.
    Boot,
    /// `tai`: CLOCK_TAI, since Linux 6.1.
    Tai,
}

/// A field that is a number, and how much of it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberField {
    /// Which one.
    pub field: FieldId,
    /// Its low 1, 2, 4 or 8 bytes.
    pub size: u32,
    /// Sign-extend.
    pub signed: bool,
}

/// One sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// What is compared.
    pub by: SortBy,
    /// Largest first.
    pub descending: bool,
}

/// What entries are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The hitcount.
    Hitcount,
    /// `values[.0]`, unsigned.
    Value(usize),
    /// `keys[.0]`, by the key's own type.
    Key(usize),
}

/// Which hits count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// As printed behind ` if `.
    pub text: BString,
    /// What it means.
    pub tree: Condition,
}

/// A filter's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Any of them.
    Any(Vec<Condition>),
    /// All of them.
    All(Vec<Condition>),
    /// Not it.
    Not(Box<Condition>),
    /// A number compared with a constant.
    Compare(Compare),
    /// A number that lies in one of some ranges.
    Within(Within),
    /// A string compared with a pattern.
    Text(TextTest),
    /// A set of CPUs compared with a constant one.
    Cpumask(CpumaskTest),
    /// Known beforehand.
    Always(bool),
}

/// `source op constant`, as `field` has its size and sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// How the filter names it.
    pub label: String,
    /// The left side.
    pub source: Source,
    /// Compare as signed numbers.
    pub signed: bool,
    /// The comparison; never [`CompareOp::Glob`].
    pub op: CompareOp,
    /// The right side as a u64 image: truncated to the field's size, then extended by its sign.
    pub constant: u64,
}

/// `source` lies in one of `ranges`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// The predicate, for notes and listings.
    pub label: String,
    /// The left side, compared without sign.
    pub source: Source,
    /// First and last number of each range, ascending and apart; never empty.
    pub ranges: Vec<(u64, u64)>,
}

/// `source op "text"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTest {
    /// The predicate, for notes and listings.
    pub label: String,
    /// Where the string is.
    pub source: TextSource,
    /// What it is compared with.
    pub pattern: Pattern,
    /// Strings that do not match are wanted. A string that cannot be read is wanted in no case,
    /// so this is not the same as [`Condition::Not`].
    pub negated: bool,
}

/// Where a string is. It ends at its first NUL, or where its room ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSource {
    /// A field.
    Field(TextField),
    /// At an address that a field holds.
    Pointer {
        /// Which one.
        field: FieldId,
        /// The address is one of user space.
        user: bool,
    },
    /// The name of the thread that the event happened in, in [`COMM_SIZE`] bytes.
    Comm,
}

/// What a string is compared with. None holds a NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All of it.
    Exact(Vec<u8>),
    /// `text*`
    Prefix(Vec<u8>),
    /// `*text`
    Suffix(Vec<u8>),
    /// `*text*`
    Contains(Vec<u8>),
    /// Anything else.
    Glob(Vec<GlobPart>),
}

/// One part of a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobPart {
    /// `*`: any bytes, or none. Never two in a row.
    Any,
    /// `?`: one byte.
    One,
    /// That byte.
    Byte(u8),
    /// `[a-c]`: one byte of those.
    Class {
        /// First and last byte of each range; a range may be empty.
        ranges: Vec<(u8, u8)>,
        /// `[!a-c]`: one byte that is none of those.
        negated: bool,
    },
}

/// `mask op CPUS{list}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpumaskTest {
    /// The predicate, for notes and listings.
    pub label: String,
    /// The field that is the mask.
    pub field: FieldId,
    /// What is compared.
    pub op: CpumaskOp,
    /// The constant mask, 64 CPUs a word, as many words as a mask in a record has.
    pub cpus: Vec<u64>,
}

/// How two sets of CPUs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpumaskOp {
    /// They are the same.
    Equal,
    /// They have a CPU in common.
    Intersects,
}
