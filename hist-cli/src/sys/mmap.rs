//! Maps into this process's memory what the kernel keeps: a file that never changes, or an array that
//! BPF programs share with user space.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Mapped memory. Dropping it unmaps it.
#[derive(Debug)]
struct Pages {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: the memory belongs to the process as a whole; those that hold it say how it is reached.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// The first `size` bytes of what `fd` is, at an address that the kernel chooses.
    fn map(fd: BorrowedFd<'_>, size: usize, prot: i32, flags: i32) -> io::Result<Self> {
        // SAFETY: a new mapping; nothing else is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), size, prot, flags, fd.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, size })
    }

    /// An array that was made with `BPF_F_MMAPABLE` (since Linux 5.5), to be read and written.
    fn of_array(array: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        Self::map(array, size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that was made, and nothing borrows from it any more.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
        debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}

/// A whole file, mapped.
#[derive(Debug)]
pub(crate) struct Mapping(Pages);

impl Mapping {
    /// Maps `file`, whose bytes must not change, nor become fewer, while it is mapped. The kernel's
    /// own BTF in sysfs is such a file, and can be mapped since Linux 6.16.
    ///
    /// # Errors
    /// If it cannot be mapped, or is empty.
    pub(crate) fn of_constant(file: &File) -> io::Result<Self> {
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        Pages::map(file.as_fd(), size, libc::PROT_READ, libc::MAP_PRIVATE).map(Self)
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has that size, lives as long as `self`, and its bytes are constant by
        // the promise of who made it.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr(), self.0.size) }
    }
}

/// The bytes of a BPF array, which programs read while user space writes them.
#[derive(Debug)]
pub(crate) struct ArrayBytes(Pages);

impl ArrayBytes {
    /// Maps the first `size` bytes of an array that was made with `BPF_F_MMAPABLE` and has whole pages.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub(crate) fn of_array(array: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        Pages::of_array(array, size).map(Self)
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.size
    }

    /// Writes one of them.
    pub(crate) fn store(&self, index: usize, byte: u8) {
        assert!(index < self.len());
        // SAFETY: it lies in the mapping, which lives as long as `self`; in this process all accesses
        // are atomic, and a byte has no alignment.
        let place = unsafe { AtomicU8::from_ptr(self.0.start.as_ptr().add(index)) };
        place.store(byte, Ordering::SeqCst);
    }
}

/// The elements of a BPF array, of which user space reads and writes the first word at the same
/// time as programs do.
#[derive(Debug)]
pub(crate) struct SharedWords {
    pages: Pages,
    /// From one to the next, in bytes.
    stride: usize,
}

impl SharedWords {
    /// Maps an array made with `BPF_F_MMAPABLE` that has `len` values of `stride` bytes, a multiple
    /// of 8.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub(crate) fn map(array: BorrowedFd<'_>, len: usize, stride: usize) -> io::Result<Self> {
        assert!(stride > 0 && stride.is_multiple_of(8));
        Ok(Self { pages: Pages::of_array(array, len * stride)?, stride })
    }

    /// The first word of each element, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &AtomicU64> {
        (0..self.pages.size / self.stride).map(|index| {
            // SAFETY: it lies in the mapping, which lives as long as `self`; a page's start and
            // multiples of 8 are aligned; programs use atomic operations on it, too.
            unsafe { self.pages.start.add(index * self.stride).cast::<AtomicU64>().as_ref() }
        })
    }
}
