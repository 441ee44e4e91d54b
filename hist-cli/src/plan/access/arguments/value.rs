//! What a field is made of where a program sees a tracepoint's arguments alone.

use crate::resolve::hist::COMM_SIZE;

/// The longest array that is kept on the stack, in bytes; a multiple of 8.
pub const ARRAY_MAX: u32 = 64;

/// How a program gets what an event has in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The expression over the tracepoint's arguments, as it is written in the table.
    pub expression: String,
    /// What it means on this kernel.
    pub content: Content,
}

/// What the expression gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
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

impl Argument {
    /// It is a string that no stack has room for: each use reads it where it is.
    #[must_use]
    pub fn is_read_again(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text.kept_size().is_none())
    }
}

impl Text {
    /// Bytes of the string where it is kept on the stack; `None` if there is no room.
    #[must_use]
    pub fn kept_size(&self) -> Option<u32> {
        match self {
            Self::Comm => Some(COMM_SIZE),
            Self::Inside { size, .. } => Some(*size).filter(|size| *size <= ARRAY_MAX),
            Self::Behind(_) => None,
        }
    }
}

impl Content {
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

    /// As [`Content::follows_pointers`].
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
