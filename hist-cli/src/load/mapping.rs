//! Maps into this process's memory what the kernel keeps: a file that never changes, or an array that
//! BPF programs share with user space.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

/// A whole file, mapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: the memory is only read, and belongs to the process as a whole.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `file`, whose bytes must not change, nor become fewer, while it is mapped. The kernel's
    /// own BTF in sysfs is such a file, and can be mapped since Linux 6.16.
    ///
    /// # Errors
    /// If it cannot be mapped, or is empty.
    pub(crate) fn of_constant(file: &File) -> io::Result<Self> {
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else is touched.
        let start = unsafe {
            let (prot, flags, fd) = (libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd());
            libc::mmap(ptr::null_mut(), size, prot, flags, fd, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, size })
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has that size, lives as long as `self`, and its bytes are constant by
        // the promise of who made it.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that was made, and nothing borrows from it any more.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
        debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}

/// The elements of a BPF array, of which user space reads and writes the first word at the same
/// time as programs do.
#[derive(Debug)]
pub(crate) struct SharedWords {
    start: NonNull<u8>,
    /// Elements.
    len: usize,
    /// From one to the next, in bytes.
    stride: usize,
}

// SAFETY: the memory belongs to the process as a whole, and is reached by atomic operations only.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps an array made with `BPF_F_MMAPABLE` (since Linux 5.5) that has `len` values of `stride`
    /// bytes, a multiple of 8.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub(crate) fn map(array: BorrowedFd<'_>, len: usize, stride: usize) -> io::Result<Self> {
        assert!(stride > 0 && stride.is_multiple_of(8));
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else is touched. The
        // kernel refuses one that is larger than the array.
        let start = unsafe {
            let (prot, fd) = (libc::PROT_READ | libc::PROT_WRITE, array.as_raw_fd());
            libc::mmap(ptr::null_mut(), len * stride, prot, libc::MAP_SHARED, fd, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, len, stride })
    }

    /// The first word of each element, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &AtomicU64> {
        (0..self.len).map(|index| {
            // SAFETY: the mapping has len * stride bytes and lives as long as `self`; a page's start
            // and multiples of 8 are aligned; programs use atomic operations on it, too.
            unsafe { self.start.add(index * self.stride).cast::<AtomicU64>().as_ref() }
        })
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that was made, and nothing borrows from it any more.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * self.stride) };
        debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}
