//! The modifiers that may follow a name, one row each: how it is written, which names it suits,
//! what it makes of a key's number and how that is shown. Parser, resolver, programs, printing,
//! exports, completion, documentation and random tests read these rows; none of them knows a
//! modifier by itself.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write};

/// Every modifier, in the order of listings.
pub static TABLE: [Row; 11] = [
    Row {
        show: Some(Show::Digits(Digits::Hex)),
        values: Taken::Shown,
        says: "in hexadecimal",
        ..Row::key("hex")
    },
    Row {
        suits: Suits::Addresses,
        show: Some(Show::Name(Naming::Symbol)),
        says: "shown as the kernel symbol at that address",
        ..Row::key("sym")
    },
    Row {
        suits: Suits::Addresses,
        show: Some(Show::Name(Naming::SymbolOffset)),
        says: "shown as the kernel symbol at that address, with offset",
        ..Row::key("sym-offset")
    },
    Row {
        suits: Suits::Only("common_pid"),
        show: Some(Show::Name(Naming::Task)),
        // A sum of pids is not a task: it is shown in decimal all the same.
        values: Taken::Plainly,
        says: "shown with the task's name when it was first counted",
        ..Row::key("execname")
    },
    Row {
        suits: Suits::SystemCalls,
        show: Some(Show::Name(Naming::SystemCall)),
        says: "shown as the name of the system call",
        ..Row::key("syscall")
    },
    Row {
        suits: Suits::Numbers,
        image: Image::Log2,
        says: "in powers of two: `~ 2^N` is for what is above 2^(N-1), up to 2^N",
        ..Row::key("log2")
    },
    Row {
        argument: Argument::Width { stem: "bucket" },
        suits: Suits::Numbers,
        image: Image::Buckets,
        says: "in ranges of N",
        ..Row::key("buckets")
    },
    Row {
        suits: Suits::Time,
        image: Image::Usecs,
        keys: Taken::Plainly,
        values: Taken::Plainly,
        says: "in microseconds",
        ..Row::key("usecs")
    },
    Row {
        argument: Argument::Ignored,
        show: Some(Show::Share(Share::Percent)),
        says: "shown as its share in percent",
        origin: Origin::Kernel { since: Some((7, 0)) },
        ..Row::value("percent")
    },
    Row {
        argument: Argument::Ignored,
        show: Some(Show::Share(Share::Graph)),
        says: "shown as a bar",
        origin: Origin::Kernel { since: Some((7, 0)) },
        ..Row::value("graph")
    },
    Row {
        suits: Suits::SyntheticStacks,
        show: Some(Show::Stack),
        says: "as a stack, function by function",
        // Older kernels take it on any field, and print garbage.
        origin: Origin::Kernel { since: Some((7, 0)) },
        ..Row::key("stacktrace")
    },
];

/// All that there is to know of a modifier.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// As it is written behind the dot, without argument. Exports call the way of showing by it.
    pub word: &'static str,
    /// What may follow the word.
    pub argument: Argument,
    /// Which names it is for.
    pub suits: Suits,
    /// What is counted in place of the number itself.
    pub image: Image,
    /// How numbers are then shown; of what is in buckets, that follows from the bucket.
    pub show: Option<Show>,
    /// What a key makes of it.
    pub keys: Taken,
    /// What a value makes of it.
    pub values: Taken,
    /// What it does, for `explain` and the documentation; `N` is the argument if it has one.
    pub says: &'static str,
    /// Whose it is.
    pub origin: Origin,
}

/// What may follow the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// Anything, which is ignored: the kernel compares as many characters as the word has.
    Ignored,
    /// `=N`, N from 1 to 2^64-1. What of the word follows the stem may be left out.
    Width {
        /// The word's beginning.
        stem: &'static str,
    },
}

/// Which names a modifier is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suits {
    /// All. On a string it shows the first 8 bytes, as the kernel does.
    Anything,
    /// Those that are numbers; others are refused.
    Numbers,
    /// Addresses of functions. Accepted elsewhere, but not suggested.
    Addresses,
    /// Numbers of system calls. Accepted elsewhere, but not suggested.
    SystemCalls,
    /// `common_timestamp`. Accepted elsewhere without effect, and not suggested.
    Time,
    /// That name; others are refused before they are looked up.
    Only(&'static str),
    /// Stacks in fields of synthetic events, which no program can count yet; others are refused.
    SyntheticStacks,
}

/// What is counted in place of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// The number itself.
    Same,
    /// The power of two that is not below it.
    Log2,
    /// The beginning of its range; the argument is the ranges' width.
    Buckets,
    /// All of the trigger's timestamps in microseconds. Elsewhere without effect.
    Usecs,
}

/// What a key or a value makes of a modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Refuses it.
    No,
    /// Accepts it, and is shown as without it.
    Plainly,
    /// Is shown as it says.
    Shown,
}

/// Whose a modifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// ftrace's own.
    Kernel {
        /// The first version of Linux in which it means what it means here; absent if it is older
        /// than 6.1, the oldest that results are compared with.
        since: Option<(u32, u32)>,
    },
    /// An extension: no kernel knows it.
    Ours,
}

/// What a name may be in a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A part of the key.
    Key,
    /// A sum.
    Value,
}

impl Row {
    /// One that keys alone take, without argument, for all names, showing the number itself; rows
    /// say what differs.
    const fn key(word: &'static str) -> Self {
        Self {
            word,
            argument: Argument::None,
            suits: Suits::Anything,
            image: Image::Same,
            show: None,
            keys: Taken::Shown,
            values: Taken::No,
            says: "",
            origin: Origin::Kernel { since: None },
        }
    }

    /// The same for values.
    const fn value(word: &'static str) -> Self {
        Self { keys: Taken::No, values: Taken::Shown, ..Self::key(word) }
    }

    /// What a name in that role makes of it.
    #[must_use]
    pub const fn taken(&self, role: Role) -> Taken {
        match role {
            Role::Key => self.keys,
            Role::Value => self.values,
        }
    }

    /// With it, a name in that role tells something else than without.
    #[must_use]
    pub fn has_effect(&self, role: Role) -> bool {
        match self.taken(role) {
            Taken::No => false,
            Taken::Plainly => self.image != Image::Same,
            Taken::Shown => true,
        }
    }

    /// The word as the parser meets it, its `-` replaced; see [`hide_minus`].
    #[must_use]
    pub fn scanned(&self) -> Cow<'static, str> {
        if self.word.contains('-') { self.word.replace('-', "X").into() } else { self.word.into() }
    }

    /// As people write it, dot included: `.hex`, `.buckets=N`.
    #[must_use]
    pub fn usage(&self) -> String {
        match self.argument {
            Argument::None | Argument::Ignored => format!(".{}", self.word),
            Argument::Width { .. } => format!(".{}=N", self.word),
        }
    }

    /// How far it can be written without knowing an argument: `hex`, `buckets=`.
    #[must_use]
    pub fn beginning(&self) -> String {
        self.usage().trim_start_matches('.').trim_end_matches('N').to_owned()
    }

    /// The modifier with some argument.
    #[must_use]
    pub const fn example(&'static self) -> Modifier {
        Modifier::new(self, 10)
    }
}

/// The row of that word.
#[must_use]
pub fn row(word: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.word == word)
}

/// `text` with the `-` of modifiers replaced by `X`, so that it is not an operator. The kernel does
/// the same, hence it takes the latter spelling from users too.
#[must_use]
pub fn hide_minus(text: &[u8]) -> Vec<u8> {
    let with_minus = TABLE.iter().filter(|row| row.word.contains('-'));
    with_minus.fold(text.to_vec(), |text, row| {
        bstr::ByteSlice::replace(&*text, format!(".{}", row.word), format!(".{}", row.scanned()))
    })
}

/// Whether `item` may end within a modifier that has a `-`, from which on it looks like an operand.
#[must_use]
pub fn is_split_by_minus(item: &str) -> bool {
    let mut heads = TABLE.iter().filter_map(|row| row.word.split_once('-'));
    heads.any(|(head, _)| item.contains(&format!(".{head}-")))
}

/// A modifier as it stands in a trigger.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Modifier {
    row: &'static Row,
    /// 0 if it has none.
    argument: u64,
}

impl Modifier {
    /// That of `row`; `argument` counts only if it takes one, and is at least 1.
    #[must_use]
    pub const fn new(row: &'static Row, argument: u64) -> Self {
        let argument = if matches!(row.argument, Argument::Width { .. }) { argument } else { 0 };
        Self { row, argument }
    }

    /// What there is to know of it.
    #[must_use]
    pub const fn row(self) -> &'static Row {
        self.row
    }

    /// Buckets that it counts by.
    #[must_use]
    pub const fn buckets(self) -> Option<BucketWidth> {
        match self.row.image {
            Image::Log2 => Some(BucketWidth::Log2),
            Image::Buckets => Some(BucketWidth::Fixed(self.argument)),
            Image::Same | Image::Usecs => None,
        }
    }

    /// It counts microseconds.
    #[must_use]
    pub fn is_usecs(self) -> bool {
        self.row.image == Image::Usecs
    }

    /// How a key or a value with it is shown; `None` if as without it.
    #[must_use]
    pub fn show(self, role: Role) -> Option<Show> {
        match self.row.taken(role) {
            Taken::No | Taken::Plainly => None,
            Taken::Shown => self.buckets().map(Show::Bucket).or(self.row.show),
        }
    }

    /// What it does to a name in that role, behind a comma; nothing if it does nothing.
    #[must_use]
    pub fn words(self, role: Role) -> String {
        if !self.row.has_effect(role) {
            return String::new();
        }
        match self.row.argument {
            Argument::None | Argument::Ignored => format!(", {}", self.row.says),
            Argument::Width { .. } => {
                format!(", {}", self.row.says.replace('N', &self.argument.to_string()))
            }
        }
    }

    /// As the kernel writes it in a trigger's canonical line: arguments are signed there.
    #[must_use]
    pub fn canonical(self) -> String {
        match self.row.argument {
            Argument::None | Argument::Ignored => self.row.word.to_owned(),
            Argument::Width { .. } => format!("{}={}", self.row.word, self.argument.cast_signed()),
        }
    }
}

/// As users may write it, without the dot.
impl Display for Modifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.word)?;
        match self.row.argument {
            Argument::None | Argument::Ignored => Ok(()),
            Argument::Width { .. } => write!(f, "={}", self.argument),
        }
    }
}

/// Without the rest of the row, which follows from the word.
impl fmt::Debug for Modifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Modifier({self})")
    }
}

/// What a name in that role takes, for messages.
#[must_use]
pub fn help(role: Role) -> String {
    let mut words = usages(|row| row.taken(role) != Taken::No);
    match role {
        Role::Key => {
            let only = TABLE.iter().filter_map(|row| match row.suits {
                Suits::Only(name) => Some(format!(", and {name} also .{}", row.word)),
                _ => None,
            });
            format!("a key takes {}{}", words.join(", "), only.collect::<String>())
        }
        Role::Value => {
            let last = words.pop().unwrap_or_default();
            format!("a value takes {} or {last}", words.join(", "))
        }
    }
}

/// What makes a difference to an operand, for messages.
#[must_use]
pub fn operand_help() -> String {
    let mut words = usages(|row| row.image != Image::Same);
    let last = words.pop().unwrap_or_default();
    format!("an operand takes {}, or {last}", words.join(", "))
}

/// What values take and keys do not, for messages.
#[must_use]
pub fn value_only_help() -> String {
    let rows = TABLE.iter().filter(|row| row.keys == Taken::No);
    let words: Vec<_> = rows.map(|row| format!("`.{}`", row.word)).collect();
    format!("{} are for values", words.join(" and "))
}

/// Those that are not for one name alone; last comes what has an effect on time alone.
fn usages(is_wanted: impl Fn(&Row) -> bool) -> Vec<String> {
    let is_common = |row: &&Row| !matches!(row.suits, Suits::Only(_) | Suits::SyntheticStacks);
    let rows = TABLE.iter().filter(is_common).filter(|row| is_wanted(row));
    let (last, first): (Vec<_>, Vec<_>) = rows.partition(|row| row.suits == Suits::Time);
    first.into_iter().chain(last).map(Row::usage).collect()
}

// --- how it is shown -----------------------------------------------------------------------------

/// How wide buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketWidth {
    /// `.log2`: as wide as all below together.
    Log2,
    /// `.buckets=N`: all the same.
    Fixed(u64),
}

/// How a key or a sum is shown. The formats are those of `hist_trigger_print_key()` and
/// `hist_trigger_print_val()` in the kernel's trace_events_hist.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A number.
    Digits(Digits),
    /// The range that the number stands for; keys only.
    Bucket(BucketWidth),
    /// A number and what it is called; keys only.
    Name(Naming),
    /// In relation to the column's other sums; values only.
    Share(Share),
    /// One `%pS` a line; keys only.
    Stack,
    /// `%-50s`; keys only.
    Text,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// `%10llu`
    Decimal,
    /// `%llx`, of a sum `%10llx`
    Hex,
}

/// What a number is called after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `[%llx] %-45ps`
    Symbol,
    /// `[%llx] %-55pS`
    SymbolOffset,
    /// `%-16s[%10llu]`, the name being that of the current task at the entry's first hit
    Task,
    /// `%-30s[%3llu]`
    SystemCall,
}

/// What a sum is set in relation to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// ` N (%): %3u.%02u`, of the sum over all entries
    Percent,
    /// ` N: %20s`, a bar relative to the largest entry
    Graph,
}

/// Where a name and its number stand. Widths are in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameLayout {
    /// Of the name, filled up behind it.
    pub name: usize,
    /// Of the number in decimal, in brackets behind the name; `None` if it stands before the name,
    /// in hexadecimal.
    pub number_behind: Option<usize>,
}

impl Show {
    /// A number in decimal, as without a modifier.
    pub const DECIMAL: Self = Self::Digits(Digits::Decimal);

    /// What is shown like that, where no modifier says so; what exports call it.
    const PLAIN: [(Self, &'static str, &'static [Role]); 2] = [
        (Self::DECIMAL, "decimal", &[Role::Key, Role::Value]),
        (Self::Text, "string", &[Role::Key]),
    ];

    /// What exports call it: the modifier's word or, where there is none, what the column holds.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut plain = Self::PLAIN.iter();
        let plain = plain.find_map(|(show, name, _)| (*show == self).then_some(*name));
        let row = TABLE.iter().find(|row| match self {
            Self::Bucket(BucketWidth::Log2) => row.image == Image::Log2,
            Self::Bucket(BucketWidth::Fixed(_)) => row.image == Image::Buckets,
            show => row.show == Some(show),
        });
        plain.or(row.map(|row| row.word)).unwrap_or_default()
    }

    /// What [`Show::name`] gives `name` for, if a column in that role can be shown so. `width` is
    /// that of buckets.
    ///
    /// # Errors
    /// What is missing.
    pub fn named(name: &str, width: Option<u64>, role: Role) -> Result<Self, NameError> {
        let mut plain = Self::PLAIN.iter();
        let plain = plain.find(|(_, plain, roles)| *plain == name && roles.contains(&role));
        if let Some((show, ..)) = plain {
            return Ok(*show);
        }
        let row = row(name).ok_or(NameError::Unknown)?;
        let modifier = match (row.argument, width) {
            (Argument::None | Argument::Ignored, _) => Modifier::new(row, 0),
            (Argument::Width { .. }, Some(width @ 1..)) => Modifier::new(row, width),
            (Argument::Width { .. }, _) if row.taken(role) == Taken::No => {
                return Err(NameError::Unknown);
            }
            (Argument::Width { .. }, _) => return Err(NameError::NoWidth),
        };
        modifier.show(role).ok_or(NameError::Unknown)
    }

    /// It shows the symbols of addresses.
    #[must_use]
    pub const fn has_symbols(self) -> bool {
        match self {
            Self::Name(naming) => naming.is_symbol(),
            Self::Stack => true,
            Self::Digits(_) | Self::Bucket(_) | Self::Share(_) | Self::Text => false,
        }
    }

    /// Writes a key that is a number, as ftrace's own text has it.
    ///
    /// # Errors
    /// If `out` takes no more.
    pub fn write_number(self, out: &mut impl Write, number: u64) -> fmt::Result {
        match self {
            Self::Digits(Digits::Hex) => write!(out, "{number:x}"),
            Self::Bucket(BucketWidth::Log2) => write!(out, "~ 2^{number:<2}"),
            Self::Bucket(BucketWidth::Fixed(width)) => {
                // The kernel lets the upper bound of the last bucket wrap.
                write!(out, "~ {number}-{}", number.wrapping_add(width).wrapping_sub(1))
            }
            Self::Digits(Digits::Decimal)
            | Self::Name(_)
            | Self::Share(_)
            | Self::Stack
            | Self::Text => write!(out, "{number:>10}"),
        }
    }
}

/// Why there is no such way of showing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing in that role is shown so.
    Unknown,
    /// Buckets need a width of at least 1.
    NoWidth,
}

impl Digits {
    /// The number alone.
    #[must_use]
    pub fn text(self, number: u64) -> String {
        match self {
            Self::Decimal => number.to_string(),
            Self::Hex => format!("{number:x}"),
        }
    }

    /// What a digit's place is worth more than the one behind it.
    #[must_use]
    pub const fn radix(self) -> u32 {
        match self {
            Self::Decimal => 10,
            Self::Hex => 16,
        }
    }
}

impl Naming {
    /// It names addresses, which mean something on one machine and boot alone.
    #[must_use]
    pub const fn is_symbol(self) -> bool {
        match self {
            Self::Symbol | Self::SymbolOffset => true,
            Self::Task | Self::SystemCall => false,
        }
    }

    /// Where ftrace's own text has name and number.
    #[must_use]
    pub const fn layout(self) -> NameLayout {
        let (name, number_behind) = match self {
            Self::Symbol => (45, None),
            Self::SymbolOffset => (55, None),
            Self::Task => (16, Some(10)),
            Self::SystemCall => (30, Some(3)),
        };
        NameLayout { name, number_behind }
    }
}

#[cfg(test)]
mod tests;
