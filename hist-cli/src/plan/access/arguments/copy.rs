//! Takes nothing. Gives the types of what stands for a record on a raw tracepoint, where a program
//! sees the arguments alone.

use crate::kernel::btf::TypeId;

/// How a program gets what the record would have in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCopy {
    /// Of the field, from the record's start, in bytes: by this the field is known.
    pub offset: u32,
    /// The field's name.
    pub field: String,
    /// The expression as it is written in the table.
    pub expression: String,
    /// What it means on this kernel.
    pub value: Copied,
}

/// What a field is a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// A number, converted to the field's own type.
    Number(Number, Scalar),
    /// A string.
    Text(Text),
}

/// The type of a number, and how its u64 image is made: sign-extended if signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// 1, 2, 4 or 8 bytes.
    pub size: u32,
    /// Sign-extend.
    pub signed: bool,
}

/// A pointer: an argument, followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The argument, from 0.
    pub argument: u32,
    /// For each step the place of the next pointer, in bytes from where the one before points to.
    pub offsets: Vec<u32>,
}

/// A number made of arguments. Memory that cannot be read has 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// Written in the table.
    Constant(u64),
    /// An argument.
    Argument {
        /// From 0.
        index: u32,
        /// Its type.
        scalar: Scalar,
    },
    /// A pointer's own value.
    Address {
        /// The pointer.
        pointer: Pointer,
        /// Bytes that are added.
        offset: u32,
    },
    /// A number in memory.
    Member {
        /// The struct.
        pointer: Pointer,
        /// Of the member in it, in bytes.
        offset: u32,
        /// What is loaded there.
        scalar: Scalar,
        /// First bit and width, if only those of the loaded number count.
        bits: Option<(u32, u32)>,
    },
    /// Another type's image.
    Cast(Box<Number>, Scalar),
    /// 1 if the operand is 0, else 0.
    Not(Box<Number>),
    /// An operation on two numbers of one type, which is that of the result.
    Binary(Operator, Box<Number>, Box<Number>, Scalar),
}

/// What can be done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `|`
    Or,
    /// `&`
    And,
    /// `<<`
    Left,
    /// `>>`
    Right,
    /// `+`
    Add,
    /// `-`
    Sub,
}

/// Where a string is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// In an array in a struct.
    Inside {
        /// The struct.
        pointer: Pointer,
        /// Of the array in it, in bytes.
        offset: u32,
        /// Of the array, in bytes.
        size: u32,
    },
    /// Where a pointer points to; `(null)` if that is nowhere.
    Behind(Pointer),
    /// The current task's name.
    Comm,
}

/// A system call's own event among those of all system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// Where a call's number is; the low 32 bits count.
    pub id: CallNumber,
    /// What it must be.
    pub number: u32,
    /// Where `thread_info.status` is in a task, in bytes: calls in 32-bit mode have other numbers,
    /// and no events.
    pub status: u32,
}

/// Where a program on an event of all system calls finds the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallNumber {
    /// In the record, that many bytes from its start.
    Record(u32),
    /// Among the arguments of the raw tracepoint.
    Arguments(Number),
}

impl CallNumber {
    /// As [`Copied::follows_pointers`].
    #[must_use]
    pub fn follows_pointers(&self) -> bool {
        match self {
            Self::Record(_) => false,
            Self::Arguments(number) => number.follows_pointers(),
        }
    }
}

/// How a program of type TRACING is told its tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtfId(pub TypeId);

impl Copied {
    /// Getting it means following pointers, which only programs may do that know their types.
    #[must_use]
    pub fn follows_pointers(&self) -> bool {
        match self {
            Self::Number(number, _) => number.follows_pointers(),
            Self::Text(Text::Inside { .. }) => true,
            Self::Text(Text::Behind(pointer)) => !pointer.offsets.is_empty(),
            Self::Text(Text::Comm) => false,
        }
    }
}

impl Copied {
    /// The arguments whose own value is taken as an address, from 0.
    #[must_use]
    pub fn pointer_arguments(&self) -> Vec<u32> {
        match self {
            Self::Number(number, _) => number.pointer_arguments(),
            Self::Text(_) => Vec::new(),
        }
    }
}

impl Number {
    fn pointer_arguments(&self) -> Vec<u32> {
        match self {
            Self::Address { pointer, .. } if pointer.offsets.is_empty() => vec![pointer.argument],
            Self::Cast(inner, _) | Self::Not(inner) => inner.pointer_arguments(),
            Self::Binary(_, lhs, rhs, _) => {
                [lhs.pointer_arguments(), rhs.pointer_arguments()].concat()
            }
            Self::Constant(_)
            | Self::Argument { .. }
            | Self::Member { .. }
            | Self::Address { .. } => Vec::new(),
        }
    }

    /// As [`Copied::follows_pointers`].
    #[must_use]
    pub fn follows_pointers(&self) -> bool {
        match self {
            Self::Constant(_) | Self::Argument { .. } => false,
            Self::Address { pointer, .. } => !pointer.offsets.is_empty(),
            Self::Member { .. } => true,
            Self::Cast(inner, _) | Self::Not(inner) => inner.follows_pointers(),
            Self::Binary(_, lhs, rhs, _) => lhs.follows_pointers() || rhs.follows_pointers(),
        }
    }

    /// The type of its image.
    #[must_use]
    pub const fn scalar(&self) -> Scalar {
        match self {
            Self::Constant(_) => Scalar { size: 8, signed: true },
            Self::Address { .. } => Scalar { size: 8, signed: false },
            Self::Not(_) => Scalar { size: 4, signed: true },
            Self::Argument { scalar, .. }
            | Self::Member { scalar, .. }
            | Self::Cast(_, scalar)
            | Self::Binary(.., scalar) => *scalar,
        }
    }
}
