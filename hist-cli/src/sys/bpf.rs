//! The commands of bpf(2) that aya 0.14 has no call for, or none without its loader. Every one
//! passes through `bpf`.
//!
//! Layouts: `union bpf_attr` and `struct bpf_prog_info` in Linux include/uapi/linux/bpf.h.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::bpf::insn::INSN_SIZE;

/// `BPF_MAP_CREATE`
const MAP_CREATE: libc::c_long = 0;
/// `BPF_MAP_LOOKUP_ELEM`
const MAP_LOOKUP_ELEM: libc::c_long = 1;
/// `BPF_MAP_UPDATE_ELEM`
const MAP_UPDATE_ELEM: libc::c_long = 2;
/// `BPF_MAP_DELETE_ELEM`
const MAP_DELETE_ELEM: libc::c_long = 3;
/// `BPF_MAP_GET_NEXT_KEY`
const MAP_GET_NEXT_KEY: libc::c_long = 4;
/// `BPF_PROG_LOAD`
const PROG_LOAD: libc::c_long = 5;
/// `BPF_OBJ_GET_INFO_BY_FD`
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// `BPF_RAW_TRACEPOINT_OPEN`
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
/// `BPF_MAP_FREEZE`, since Linux 5.2
const MAP_FREEZE: libc::c_long = 22;
/// `BPF_MAP_LOOKUP_BATCH`, since Linux 5.6
const MAP_LOOKUP_BATCH: libc::c_long = 24;
/// `BPF_MAP_LOOKUP_AND_DELETE_BATCH`, since Linux 5.6
const MAP_LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;

/// `BPF_ENABLE_STATS`, since Linux 5.8
const ENABLE_STATS: libc::c_long = 32;

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

/// The members of `union bpf_attr` for `BPF_MAP_CREATE`, up to `inner_map_fd`.
#[repr(C)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
}

/// Bytes of a name, NUL included (`BPF_OBJ_NAME_LEN`).
const NAME_SIZE: usize = 16;

/// The members of `union bpf_attr` for `BPF_PROG_LOAD`, up to `attach_btf_id`. Kernels that know
/// fewer take zeros in the others.
#[repr(C)]
struct ProgAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; NAME_SIZE],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The members of `union bpf_attr` for `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct RawTracepointAttr {
    name: u64,
    prog_fd: u32,
    pad: u32,
}

/// Where `id` (u32) lies in `struct bpf_prog_info`.
const ID_OFFSET: usize = 4;
/// Where `run_time_ns` (u64) lies in `struct bpf_prog_info`, since Linux 5.1.
const RUN_TIME_OFFSET: usize = 192;
/// Where `run_cnt` (u64) lies in `struct bpf_prog_info`, since Linux 5.1.
const RUN_COUNT_OFFSET: usize = 200;
/// Where `recursion_misses` (u64) lies in `struct bpf_prog_info`, since Linux 5.12.
const RECURSION_MISSES_OFFSET: usize = 208;
/// Room for `struct bpf_prog_info` up to and with `recursion_misses`.
const PROG_INFO_SIZE: usize = RECURSION_MISSES_OFFSET + 8;

/// The one place where bpf(2) is called. `T` is the part of `union bpf_attr` for `command`.
///
/// # Safety
/// Every pointer in `attr` must be good for what `command` reads and writes through it.
unsafe fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: `attr` is a live, exclusive reference of the size given; its pointers are good by
    // this function's own contract.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    // The kernel's own type for it is int.
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

/// [`bpf`] for the commands that open something.
///
/// # Safety
/// As [`bpf`]; and `command` must answer with a new file descriptor.
unsafe fn bpf_open<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: this function's own contract.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: it is new, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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

    /// Sets the value of `key`, whether or not there is one.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(crate) fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert!(key.len() >= self.key_size && value.len() >= self.value_size);
        let (key, value) = (address(key), address(value));
        let mut attr = ElemAttr { map_fd: raw(self.fd), pad: 0, key, value, flags: 0 };
        // SAFETY: the kernel reads key_size and value_size bytes, which are there.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut attr) }.map(drop)
    }

    /// Removes `key`; `false` if it was not there.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<bool> {
        assert!(key.len() >= self.key_size);
        let key = address(key);
        let mut attr = ElemAttr { map_fd: raw(self.fd), pad: 0, key, value: 0, flags: 0 };
        // SAFETY: the kernel reads key_size bytes, which are there.
        found(unsafe { bpf(MAP_DELETE_ELEM, &mut attr) })
    }

    /// Makes the map constant to user space; the verifier may then rely on its contents.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        let mut attr = raw(self.fd);
        // SAFETY: the command takes a file descriptor and no pointer.
        unsafe { bpf(MAP_FREEZE, &mut attr) }.map(drop)
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
        buffers: (&mut [u8], &mut [u8]),
        count: usize,
    ) -> io::Result<Batch> {
        self.batch(MAP_LOOKUP_BATCH, position, first, buffers, count)
    }

    /// Does what [`lookup_batch`](Self::lookup_batch) does, and removes the entries.
    ///
    /// # Errors
    /// As [`lookup_batch`](Self::lookup_batch).
    pub(crate) fn take_batch(
        &self,
        position: &mut [u8],
        first: bool,
        buffers: (&mut [u8], &mut [u8]),
        count: usize,
    ) -> io::Result<Batch> {
        self.batch(MAP_LOOKUP_AND_DELETE_BATCH, position, first, buffers, count)
    }

    fn batch(
        &self,
        command: libc::c_long,
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
        let last = !found(unsafe { bpf(command, &mut attr) })?;
        Ok(Batch { count: attr.count as usize, last })
    }
}

/// The kernel's own errno for an operation that a map does not have (include/linux/errno.h).
const ENOTSUPP: i32 = 524;

/// The kernel does not know batches, as before 5.6, or the map has none.
pub(crate) fn is_without_batches(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP))
}

fn found(result: io::Result<RawFd>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A means to [wait for running programs](Self::wait). A process that may load programs can make
/// one; one that has
/// one can wait with no capabilities at all.
pub(crate) struct Barrier {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl Barrier {
    /// Makes one.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(crate) fn new() -> io::Result<Self> {
        /// `BPF_MAP_TYPE_ARRAY`
        const ARRAY: u32 = 2;
        /// `BPF_MAP_TYPE_ARRAY_OF_MAPS`
        const ARRAY_OF_MAPS: u32 = 12;
        let inner = create_array(ARRAY, None)?;
        let outer = create_array(ARRAY_OF_MAPS, Some(inner.as_fd()))?;
        Ok(Self { outer, inner })
    }

    /// Waits until no BPF program runs that began before the call.
    ///
    /// The kernel waits so whenever user space changes a map of maps, for just this purpose: what
    /// user space has written before is what all programs see from now on (since Linux 4.20,
    /// `maybe_wait_bpf_programs()` in kernel/bpf/syscall.c). membarrier(2) would do, too, but not
    /// on one CPU, nor with `nohz_full`.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let outer = RawMap { fd: self.outer.as_fd(), key_size: 4, value_size: 4 };
        outer.update(&0u32.to_ne_bytes(), &raw(self.inner.as_fd()).to_ne_bytes())
    }
}

/// Waits until no BPF program runs that began before the call.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn wait_for_programs() -> io::Result<()> {
    Barrier::new()?.wait()
}

/// Reads a map by one call for many entries, to see whether the kernel can.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn try_batch() -> io::Result<()> {
    /// `BPF_MAP_TYPE_ARRAY`
    const ARRAY: u32 = 2;
    let array = create_array(ARRAY, None)?;
    let array = RawMap { fd: array.as_fd(), key_size: 4, value_size: 4 };
    let (mut position, mut key, mut value) = ([0; 4], [0; 4], [0; 8]);
    array.lookup_batch(&mut position, true, (&mut key, &mut value), 1).map(drop)
}

/// An array of one word for each CPU that there may be.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn create_per_cpu_array() -> io::Result<OwnedFd> {
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    const PER_CPU_ARRAY: u32 = 6;
    create_one(PER_CPU_ARRAY, 8, 0)
}

/// An array of one `u32`, or of one map like `inner`.
fn create_array(map_type: u32, inner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    create_one(map_type, 4, inner.map_or(0, raw))
}

/// An array of one element, of `value_size` bytes.
fn create_one(map_type: u32, value_size: u32, inner_map_fd: u32) -> io::Result<OwnedFd> {
    let mut attr = CreateAttr {
        map_type,
        key_size: 4,
        value_size,
        max_entries: 1,
        map_flags: 0,
        inner_map_fd,
    };
    // SAFETY: no pointers; the command opens a map.
    unsafe { bpf_open(MAP_CREATE, &mut attr) }
}

/// A program as the kernel takes it.
pub(crate) struct ProgramText<'a> {
    /// `enum bpf_prog_type`
    pub(crate) program_type: u32,
    /// `enum bpf_attach_type`; 0 for types that need none.
    pub(crate) attach_type: u32,
    /// The type in the kernel's BTF that the program is attached to; 0 for none.
    pub(crate) attach_btf_id: u32,
    /// At most 15 of `[A-Za-z0-9_.]`.
    pub(crate) name: &'a str,
    /// Resolved: maps by file descriptor.
    pub(crate) insns: &'a [[u8; INSN_SIZE]],
    /// The licence's name.
    pub(crate) license: &'a CStr,
}

/// Loads a program. The verifier writes to `log`, NUL-terminated, unless it is empty.
///
/// # Errors
/// `ENOSPC` if the log did not fit; `EAGAIN` if a signal came in between. Otherwise what the
/// verifier or bpf(2) says.
pub(crate) fn load_program(text: &ProgramText<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut prog_name = [0; NAME_SIZE];
    // The last byte stays NUL.
    for (to, from) in prog_name[..NAME_SIZE - 1].iter_mut().zip(text.name.bytes()) {
        *to = from;
    }
    let mut attr = ProgAttr {
        prog_type: text.program_type,
        insn_cnt: u32::try_from(text.insns.len()).map_err(io::Error::other)?,
        insns: address(text.insns.as_flattened()),
        license: text.license.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(io::Error::other)?,
        log_buf: if log.is_empty() { 0 } else { address_mut(log) },
        kern_version: 0,
        prog_flags: 0,
        prog_name,
        prog_ifindex: 0,
        expected_attach_type: text.attach_type,
        prog_btf_fd: 0,
        func_info_rec_size: 0,
        func_info: 0,
        func_info_cnt: 0,
        line_info_rec_size: 0,
        line_info: 0,
        line_info_cnt: 0,
        attach_btf_id: text.attach_btf_id,
    };
    // SAFETY: the kernel reads insn_cnt instructions and a NUL-terminated licence, and writes at
    // most log_size bytes to log_buf; the command opens a program.
    unsafe { bpf_open(PROG_LOAD, &mut attr) }
}

/// Attaches a program of type RAW_TRACEPOINT to the tracepoint `name`, or one of type TRACING, which
/// has no `name`, to its own; closing what is returned detaches it.
///
/// # Errors
/// `ENOENT` if the kernel has no tracepoint of that name; otherwise what bpf(2) says.
pub(crate) fn open_raw_tracepoint(
    name: Option<&CStr>,
    program: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    let name = name.map_or(0, |name| name.as_ptr() as u64);
    let mut attr = RawTracepointAttr { name, prog_fd: raw(program), pad: 0 };
    // SAFETY: the kernel reads a NUL-terminated name, if any; the command opens a link.
    unsafe { bpf_open(RAW_TRACEPOINT_OPEN, &mut attr) }
}

fn program_info(program: BorrowedFd<'_>) -> io::Result<[u8; PROG_INFO_SIZE]> {
    let mut info = [0u8; PROG_INFO_SIZE];
    let mut attr = InfoAttr {
        bpf_fd: raw(program),
        info_len: PROG_INFO_SIZE as u32,
        info: address_mut(&mut info),
    };
    // SAFETY: the kernel writes at most info_len bytes to `info`. All of it was zero, so the
    // kernel reads no user pointers from it.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info)
}

/// The kernel's number for a program.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    let info = program_info(program)?;
    let mut id = [0; 4];
    id.copy_from_slice(&info[ID_OFFSET..][..4]);
    Ok(u32::from_ne_bytes(id))
}

/// How often the kernel skipped a program because of recursion, since it was loaded; 0 on
/// kernels that do not tell.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(word(&program_info(program)?, RECURSION_MISSES_OFFSET))
}

/// Has the kernel count how often each program runs, from now on until what is returned is dropped
/// (since Linux 5.8).
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN; otherwise what bpf(2) says.
pub(crate) fn count_runs() -> io::Result<OwnedFd> {
    /// `BPF_STATS_RUN_TIME` of `enum bpf_stats_type`, the only member of `union bpf_attr` for this
    /// command.
    const RUN_TIME: u32 = 0;
    let mut kind = RUN_TIME;
    // SAFETY: no pointers; the command opens what keeps counting on.
    unsafe { bpf_open(ENABLE_STATS, &mut kind) }
}

/// For how long (ns) and how often a program has run, as far as the kernel was told to keep count.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn run_stats(program: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let info = program_info(program)?;
    Ok((word(&info, RUN_TIME_OFFSET), word(&info, RUN_COUNT_OFFSET)))
}

fn word(info: &[u8; PROG_INFO_SIZE], offset: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&info[offset..][..8]);
    u64::from_ne_bytes(word)
}
