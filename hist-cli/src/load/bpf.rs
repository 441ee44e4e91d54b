//! Takes file descriptors and buffers. Gives what bpf(2) answers, for the few commands that aya
//! 0.14 has no call for. Every one passes through [`bpf`].
//!
//! Layouts: `union bpf_attr` and `struct bpf_prog_info` in Linux include/uapi/linux/bpf.h.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `BPF_MAP_LOOKUP_ELEM`
const MAP_LOOKUP_ELEM: libc::c_long = 1;
/// `BPF_MAP_GET_NEXT_KEY`
const MAP_GET_NEXT_KEY: libc::c_long = 4;
/// `BPF_OBJ_GET_INFO_BY_FD`
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// `BPF_MAP_LOOKUP_BATCH`, since Linux 5.6
const MAP_LOOKUP_BATCH: libc::c_long = 24;

/// The members of `union bpf_attr` for commands on one element.
#[repr(C)]
struct ElemAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}

/// The members of `union bpf_attr` for commands on batches.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The members of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// Where `recursion_misses` (u64) lies in `struct bpf_prog_info`, since Linux 5.12.
const RECURSION_MISSES_OFFSET: usize = 208;
/// Room for `struct bpf_prog_info` up to and with `recursion_misses`.
const PROG_INFO_SIZE: usize = RECURSION_MISSES_OFFSET + 8;

/// The one place where bpf(2) is called. `T` is the part of `union bpf_attr` for `command`.
///
/// # Safety
/// Every pointer in `attr` must be good for what `command` reads and writes through it.
unsafe fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<()> {
    // SAFETY: `attr` is a live, exclusive reference of the size given; its pointers are good by
    // this function's own contract.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr() as u64
}

fn address_mut(bytes: &mut [u8]) -> u64 {
    bytes.as_mut_ptr() as u64
}

/// A map that is read raw, with the sizes that the kernel uses for it (bytes).
#[derive(Clone, Copy)]
pub(crate) struct RawMap<'fd> {
    /// The map.
    pub(crate) fd: BorrowedFd<'fd>,
    /// One key.
    pub(crate) key_size: usize,
    /// One value; for per-CPU maps that of all possible CPUs, each rounded up to 8.
    pub(crate) value_size: usize,
}

/// What a batch look-up left in its buffers.
pub(crate) struct Batch {
    /// Entries.
    pub(crate) count: usize,
    /// Nothing is left in the map.
    pub(crate) last: bool,
}

impl RawMap<'_> {
    /// Copies the value of `key` into `value`; `false` if there is none.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        assert!(key.len() >= self.key_size && value.len() >= self.value_size);
        let (key, value) = (address(key), address_mut(value));
        let mut attr = ElemAttr { map_fd: raw(self.fd), pad: 0, key, value, flags: 0 };
        // SAFETY: the kernel reads key_size bytes and writes value_size ones; there is room.
        found(unsafe { bpf(MAP_LOOKUP_ELEM, &mut attr) })
    }

    /// Puts the key after `key`, or the first one, into `next`; `false` at the end.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(crate) fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        assert!(key.is_none_or(|key| key.len() >= self.key_size) && next.len() >= self.key_size);
        let (key, value) = (key.map_or(0, address), address_mut(next));
        let mut attr = ElemAttr { map_fd: raw(self.fd), pad: 0, key, value, flags: 0 };
        // SAFETY: the kernel reads key_size bytes unless the key is null, and writes as many.
        found(unsafe { bpf(MAP_GET_NEXT_KEY, &mut attr) })
    }

    /// Copies up to `count` entries into `keys` and `values`, going on at `position` unless
    /// `first`.
    ///
    /// # Errors
    /// `ENOSPC` if a bucket of the map has more than `count` entries: try again with more room.
    /// Otherwise what bpf(2) says.
    pub(crate) fn lookup_batch(
        &self,
        position: &mut [u8],
        first: bool,
        (keys, values): (&mut [u8], &mut [u8]),
        count: usize,
    ) -> io::Result<Batch> {
        assert!(position.len() >= self.key_size.max(size_of::<u32>()));
        assert!(keys.len() >= count * self.key_size && values.len() >= count * self.value_size);
        let out_batch = address_mut(position);
        let mut attr = BatchAttr {
            in_batch: if first { 0 } else { out_batch },
            out_batch,
            keys: address_mut(keys),
            values: address_mut(values),
            count: u32::try_from(count).expect("no map has 2^32 entries"),
            map_fd: raw(self.fd),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel reads and writes one position, and writes at most `count` keys and
        // values, for which there is room.
        let last = !found(unsafe { bpf(MAP_LOOKUP_BATCH, &mut attr) })?;
        Ok(Batch { count: attr.count as usize, last })
    }
}

fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How often the kernel skipped a program because of recursion; 0 on kernels that do not tell.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = [0u8; PROG_INFO_SIZE];
    let mut attr = InfoAttr {
        bpf_fd: raw(program),
        info_len: PROG_INFO_SIZE as u32,
        info: address_mut(&mut info),
    };
    // SAFETY: the kernel writes at most info_len bytes to `info`. All of it was zero, so the
    // kernel reads no user pointers from it.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attr) }?;
    let mut misses = [0; 8];
    misses.copy_from_slice(&info[RECURSION_MISSES_OFFSET..]);
    Ok(u64::from_ne_bytes(misses))
}
