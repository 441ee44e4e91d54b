//! Takes a file of the kernel's that never changes, or an array that programs read. Gives the bytes
//! where they lie, without a copy.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};

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

/// The bytes of a BPF array, each of which is written by itself while programs read it.
#[derive(Debug)]
pub(crate) struct ArrayBytes(Mapping);

// SAFETY: the memory belongs to the process as a whole, and is accessed atomically only.
unsafe impl Sync for ArrayBytes {}

impl ArrayBytes {
    /// Maps the first `size` bytes of an array that was made with `BPF_F_MMAPABLE` and has whole pages.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub(crate) fn of_array(array: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else is touched.
        let start = unsafe {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), size, prot, libc::MAP_SHARED, array.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self(Mapping { start, size }))
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

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that was made, and nothing borrows from it any more.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
        debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}
