//! The kernel's type information (BTF, `/sys/kernel/btf/vmlinux`): looks up the few types that are
//! asked for by name.
//!
//! All of it is some 5 MB and 150,000 types, and a program that is to count at once has no time
//! for them. So nothing is parsed: a tracepoint's name is searched in the string section, its type
//! by going from header to header, and whatever else is wanted is read where it lies. Peak memory
//! is that of two buffers, where the file cannot be mapped.
//!
//! Layouts: Linux include/uapi/linux/btf.h.

mod error;
mod image;
mod types;

pub use error::BtfError;
pub use types::{Member, Parameter, Tracepoint, Type, TypeId};

use std::cell::OnceCell;
use std::path::PathBuf;

use image::Image;

/// The type information of a kernel.
#[derive(Debug)]
pub struct Btf {
    path: PathBuf,
    image: OnceCell<Result<Image, BtfError>>,
}

impl Btf {
    /// Where the running kernel has it, if built with `CONFIG_DEBUG_INFO_BTF`.
    pub const VMLINUX: &'static str = "/sys/kernel/btf/vmlinux";

    /// That of a file. If it cannot be opened, every question is answered by why.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let btf = Self::unopened(path);
        btf.open();
        btf
    }

    /// That of a file which is not [opened](Self::open) yet: until then every question is an error.
    #[must_use]
    pub fn unopened(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), image: OnceCell::new() }
    }

    /// That of bytes in memory.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Self { path: PathBuf::new(), image: OnceCell::from(Image::of_bytes(bytes)) }
    }

    /// Opens the file, unless that has been done.
    pub fn open(&self) {
        self.image.get_or_init(|| Image::open(&self.path));
    }

    /// The tracepoint of that name; `None` if there is none.
    ///
    /// # Errors
    /// If there is no BTF, it cannot be read, or it is not what it should be.
    pub fn tracepoint(&self, name: &str) -> Result<Option<Tracepoint>, BtfError> {
        self.image()?.tracepoint(name)
    }

    /// The struct of that name; `None` if there is none.
    ///
    /// # Errors
    /// As [`tracepoint`](Self::tracepoint).
    pub fn compound(&self, name: &str) -> Result<Option<TypeId>, BtfError> {
        self.image()?.compound(name)
    }

    /// The type of that number, without `const`, `volatile`, typedefs and the like.
    ///
    /// # Errors
    /// As [`tracepoint`](Self::tracepoint).
    pub fn resolve(&self, id: TypeId) -> Result<Type, BtfError> {
        self.image()?.resolve(id)
    }

    /// The member of a struct or union, wherever it is among its unnamed members.
    ///
    /// # Errors
    /// As [`tracepoint`](Self::tracepoint).
    pub fn member(&self, compound: TypeId, name: &str) -> Result<Option<Member>, BtfError> {
        self.image()?.member(compound, name)
    }

    /// The names of all members of a struct or union, those of its unnamed members included.
    ///
    /// # Errors
    /// As [`tracepoint`](Self::tracepoint).
    pub fn member_names(&self, compound: TypeId) -> Result<Vec<String>, BtfError> {
        self.image()?.member_names(compound)
    }

    /// A type's own name, without `struct` and the like; empty if it has none.
    ///
    /// # Errors
    /// As [`tracepoint`](Self::tracepoint).
    pub fn name(&self, id: TypeId) -> Result<String, BtfError> {
        self.image()?.name(id)
    }

    fn image(&self) -> Result<&Image, BtfError> {
        self.image.get().ok_or(BtfError::NotOpened)?.as_ref().map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests;
