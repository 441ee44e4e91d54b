//! Finds out what an expression over a tracepoint's arguments means on this kernel, or why it means
//! nothing: every argument, member and type is checked.

use super::expr::{self, Expr, Path, Step};
use super::value::{Content, Number, Operator, Pointer, Scalar, Text};
use crate::kernel::btf::{Btf, BtfError, Member, Tracepoint, Type, TypeId};
use crate::kernel::format::{FieldClass, FieldFormat};

/// Why an expression is no copy of a field on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::plan) enum BindError {
    #[error("`{0}` is no expression")]
    Syntax(String),
    #[error("the tracepoint has no argument `{0}`")]
    NoArgument(String),
    #[error("there is no member `{0}`")]
    NoMember(String),
    #[error("what is before `{0}` is no pointer that a program can follow")]
    NoPointer(String),
    #[error("what is before `{0}` is no struct")]
    NoCompound(String),
    #[error("there is no element [{0}]")]
    NoElement(u32),
    #[error("`{0}` is no number")]
    NoNumber(String),
    #[error("`{0}` is no string")]
    NoText(String),
    #[error("`{expression}` has {have} bytes, the field {want}")]
    Size { expression: String, have: u32, want: u32 },
    #[error("`{0}` is not bool, and the field is")]
    NoBool(String),
    #[error("`{0}` lies too far into its struct")]
    TooFar(String),
    #[error("a `{0}` is no copy of one thing")]
    FieldType(String),
    #[error(transparent)]
    Btf(#[from] BtfError),
}

/// What expressions are about.
pub(in crate::plan) struct Scope<'a> {
    pub(in crate::plan) btf: &'a Btf,
    pub(in crate::plan) tracepoint: &'a Tracepoint,
}

/// Where a path leads.
enum Place {
    Argument { index: u32, type_id: TypeId },
    Memory { pointer: Pointer, member: Member },
}

impl Place {
    const fn type_id(&self) -> TypeId {
        match self {
            Self::Argument { type_id, .. } => *type_id,
            Self::Memory { member, .. } => member.type_id,
        }
    }
}

impl Scope<'_> {
    /// What `field` is made of.
    pub(super) fn content(&self, text: &str, field: &FieldFormat) -> Result<Content, BindError> {
        let expr = expr::parse(text).ok_or_else(|| BindError::Syntax(text.to_owned()))?;
        match field.class() {
            FieldClass::Number | FieldClass::CharPointer => {
                let to = Scalar { size: field.size, signed: field.signed };
                let is_bool = matches!(field.type_name.as_str(), "bool" | "_Bool");
                self.number_of(&expr, text, to, is_bool)
            }
            FieldClass::StaticString => self.text(&expr, text, Some(field.size)),
            FieldClass::DynamicString => self.text(&expr, text, None),
            _ => Err(BindError::FieldType(field.type_name.clone())),
        }
    }

    fn number_of(
        &self,
        expr: &Expr,
        text: &str,
        to: Scalar,
        is_bool: bool,
    ) -> Result<Content, BindError> {
        let number = self.number(expr)?;
        let (have, want) = (number.scalar().size, to.size);
        let is_constant = matches!(number, Number::Constant(_) | Number::Not(_));
        // What C would cut off without a word must be cast in the table.
        if have > want && !is_constant {
            return Err(BindError::Size { expression: text.to_owned(), have, want });
        }
        // An address is kept as one: a field with a sign is what the address leads to.
        if to.signed && matches!(number, Number::Address { .. }) {
            return Err(BindError::NoNumber(text.to_owned()));
        }
        if is_bool && !self.is_bool(expr)? {
            return Err(BindError::NoBool(text.to_owned()));
        }
        Ok(Content::Number(number, to))
    }

    fn is_bool(&self, expr: &Expr) -> Result<bool, BindError> {
        Ok(match expr {
            Expr::Not(_) => true,
            Expr::Path(path) => {
                let place = self.place(path)?;
                matches!(self.btf.resolve(place.type_id())?, Type::Integer { is_bool: true, .. })
            }
            _ => false,
        })
    }

    /// The number that an expression is.
    pub(in crate::plan) fn number(&self, expr: &Expr) -> Result<Number, BindError> {
        match expr {
            Expr::Constant(number) => Ok(Number::Constant(*number)),
            Expr::Path(path) => self.path_number(path),
            Expr::Address(path) => match self.place(path)? {
                Place::Memory { pointer, member: Member { bit_offset, bits: None, .. } } => {
                    Ok(Number::Address { pointer, offset: bit_offset / 8 })
                }
                _ => Err(BindError::NoNumber(shown(path))),
            },
            Expr::Cast(scalar, inner) => Ok(Number::Cast(Box::new(self.number(inner)?), *scalar)),
            Expr::Not(inner) => Ok(Number::Not(Box::new(self.number(inner)?))),
            Expr::Binary(op, lhs, rhs) => Ok(binary(*op, self.number(lhs)?, self.number(rhs)?)),
            Expr::Comm => Err(BindError::NoNumber("current->comm".to_owned())),
        }
    }

    fn path_number(&self, path: &Path) -> Result<Number, BindError> {
        let place = self.place(path)?;
        let kind = self.btf.resolve(place.type_id())?;
        match (place, kind) {
            (Place::Argument { index, .. }, Type::Integer { size, signed, .. }) => {
                Ok(Number::Argument { index, scalar: Scalar { size, signed } })
            }
            (Place::Memory { pointer, member }, Type::Integer { size, signed, .. }) => {
                loaded(pointer, member, Scalar { size, signed })
                    .ok_or_else(|| BindError::NoNumber(shown(path)))
            }
            (place, Type::Pointer(_) | Type::FarPointer) => {
                Ok(Number::Address { pointer: followed(place, path)?, offset: 0 })
            }
            _ => Err(BindError::NoNumber(shown(path))),
        }
    }

    fn text(&self, expr: &Expr, text: &str, room: Option<u32>) -> Result<Content, BindError> {
        let path = match expr {
            Expr::Comm => return Ok(Content::Text(Text::Comm)),
            Expr::Path(path) => path,
            _ => return Err(BindError::NoText(text.to_owned())),
        };
        let place = self.place(path)?;
        match (self.btf.resolve(place.type_id())?, place) {
            (Type::Array { element, count }, Place::Memory { pointer, member })
                if self.is_char(element)? && count > 0 =>
            {
                if room.is_some_and(|room| room != count) {
                    let want = room.unwrap_or_default();
                    return Err(BindError::Size { expression: text.to_owned(), have: count, want });
                }
                let offset = member.bit_offset / 8;
                Ok(Content::Text(Text::Inside { pointer, offset, size: count }))
            }
            (Type::Pointer(target), place) if self.is_char(target)? => {
                Ok(Content::Text(Text::Behind(followed(place, path)?)))
            }
            _ => Err(BindError::NoText(text.to_owned())),
        }
    }

    fn is_char(&self, id: TypeId) -> Result<bool, BindError> {
        Ok(matches!(self.btf.resolve(id)?, Type::Integer { size: 1, is_bool: false, .. }))
    }

    fn place(&self, path: &Path) -> Result<Place, BindError> {
        let mut parameters = (0..).zip(&self.tracepoint.parameters);
        let found = parameters.find(|(_, parameter)| parameter.name == path.argument);
        let (index, parameter) =
            found.ok_or_else(|| BindError::NoArgument(path.argument.clone()))?;
        let mut place = Place::Argument { index, type_id: parameter.type_id };
        for step in &path.steps {
            place = match step {
                Step::Arrow(name) => self.arrow(place, name, path)?,
                Step::Dot(name) => self.dot(place, name)?,
                Step::Element(index) => self.element(place, *index)?,
            };
        }
        match &place {
            // Instructions have 16 bits for it.
            Place::Memory { member, .. } if member.bit_offset / 8 > 0x7ff0 => {
                Err(BindError::TooFar(shown(path)))
            }
            _ => Ok(place),
        }
    }

    fn arrow(&self, place: Place, name: &str, path: &Path) -> Result<Place, BindError> {
        let no_pointer = || BindError::NoPointer(format!("->{name}"));
        let Type::Pointer(target) = self.btf.resolve(place.type_id())? else {
            return Err(no_pointer());
        };
        let Type::Compound { id, .. } = self.btf.resolve(target)? else {
            return Err(no_pointer());
        };
        Ok(Place::Memory { pointer: followed(place, path)?, member: self.member(id, name)? })
    }

    fn dot(&self, place: Place, name: &str) -> Result<Place, BindError> {
        match (self.btf.resolve(place.type_id())?, place) {
            (Type::Compound { id, .. }, Place::Memory { pointer, member }) => {
                let inner = self.member(id, name)?;
                let bit_offset = member.bit_offset.checked_add(inner.bit_offset);
                let bit_offset = bit_offset.ok_or_else(|| BindError::TooFar(format!(".{name}")))?;
                Ok(Place::Memory { pointer, member: Member { bit_offset, ..inner } })
            }
            _ => Err(BindError::NoCompound(format!(".{name}"))),
        }
    }

    fn element(&self, place: Place, index: u32) -> Result<Place, BindError> {
        match (self.btf.resolve(place.type_id())?, place) {
            (Type::Array { element, count }, Place::Memory { pointer, member })
                if index < count =>
            {
                let size = match self.btf.resolve(element)? {
                    Type::Integer { size, .. } | Type::Compound { size, .. } => size,
                    Type::Pointer(_) | Type::FarPointer => 8,
                    _ => return Err(BindError::NoElement(index)),
                };
                let within = size.checked_mul(index).and_then(|bytes| bytes.checked_mul(8));
                let bit_offset = within.and_then(|bits| bits.checked_add(member.bit_offset));
                let bit_offset =
                    bit_offset.ok_or_else(|| BindError::TooFar(format!("[{index}]")))?;
                Ok(Place::Memory {
                    pointer,
                    member: Member { bit_offset, bits: None, type_id: element },
                })
            }
            _ => Err(BindError::NoElement(index)),
        }
    }

    fn member(&self, compound: TypeId, name: &str) -> Result<Member, BindError> {
        let member = self.btf.member(compound, name)?;
        member.ok_or_else(|| BindError::NoMember(name.to_owned()))
    }
}

/// The pointer that is in `place`.
fn followed(place: Place, path: &Path) -> Result<Pointer, BindError> {
    match place {
        Place::Argument { index, .. } => Ok(Pointer { argument: index, offsets: Vec::new() }),
        Place::Memory { mut pointer, member } => {
            let offset = member.bit_offset / 8;
            if member.bits.is_some() || offset > 0x7ff0 {
                return Err(BindError::TooFar(shown(path)));
            }
            pointer.offsets.push(offset);
            Ok(pointer)
        }
    }
}

/// A bitfield is loaded with the smallest word at a multiple of its size that has all of it; `None` if
/// none has.
fn loaded(pointer: Pointer, member: Member, scalar: Scalar) -> Option<Number> {
    let Some(width) = member.bits else {
        let offset = member.bit_offset / 8;
        return Some(Number::Member { pointer, offset, scalar, bits: None });
    };
    let first = member.bit_offset;
    let last = first.checked_add(width)?.checked_sub(1)?;
    let holds = |size: &u32| first / (8 * size) == last / (8 * size);
    let size = [1, 2, 4, 8].into_iter().find(holds)?;
    let offset = first / (8 * size) * size;
    let bits = Some((first - 8 * offset, width));
    Some(Number::Member { pointer, offset, scalar: Scalar { size, ..scalar }, bits })
}

/// As C does it: at least an `int`; the larger type counts, and between equal ones the unsigned.
/// A shift has the type of its left operand.
fn binary(op: Operator, lhs: Number, rhs: Number) -> Number {
    let (left, right) = (promoted(&lhs), promoted(&rhs));
    let scalar = match op {
        Operator::Left | Operator::Right => left,
        _ if left.size != right.size => {
            if left.size > right.size {
                left
            } else {
                right
            }
        }
        _ => Scalar { size: left.size, signed: left.signed && right.signed },
    };
    Number::Binary(op, Box::new(lhs), Box::new(rhs), scalar)
}

/// A constant has the least type that holds it, any other number its own or `int`.
fn promoted(number: &Number) -> Scalar {
    let int = Scalar { size: 4, signed: true };
    match number {
        Number::Constant(number) if i32::try_from(*number).is_ok() => int,
        number => match number.scalar() {
            Scalar { size: 1 | 2, .. } => int,
            scalar => scalar,
        },
    }
}

fn shown(path: &Path) -> String {
    let steps = path.steps.iter().map(|step| match step {
        Step::Arrow(name) => format!("->{name}"),
        Step::Dot(name) => format!(".{name}"),
        Step::Element(index) => format!("[{index}]"),
    });
    path.argument.clone() + &steps.collect::<String>()
}
