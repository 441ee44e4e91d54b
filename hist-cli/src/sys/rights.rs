//! Keeps what a file capability or a set-user-ID bit lets this program do apart from what its user may.
//!
//! With `setcap` anybody may count, and that is all that anybody shall get: files that the user names
//! are opened with the user's own rights, variables that the user sets decide nothing but looks, and a
//! command that is started gets neither capabilities nor ids. It also gets back what this program has
//! changed of its own signals and limits, whoever runs it.

use std::env;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{
    Gid, Resource, Rlimit, Uid, getegid, geteuid, getgid, getrlimit, getuid, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_thread_res_gid, set_thread_res_uid,
};

/// Variables that are kept where the program has rights that its user has not: they are only compared
/// with words, or, as PATH, used with the user's own rights.
const HARMLESS: [&str; 8] =
    ["PATH", "TERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LC_ALL", "LC_CTYPE", "LANG"];

/// What this process was started with and is to hand on.
#[derive(Debug)]
struct Start {
    /// Also before 5.11, where it is raised for maps.
    locked_memory: Rlimit,
    /// All variables, if some have been removed.
    variables: Option<Vec<(OsString, OsString)>>,
}

static START: OnceLock<Start> = OnceLock::new();
/// Signals that were ignored: signal N is bit N - 1, as in /proc/PID/status.
static IGNORED: AtomicU64 = AtomicU64::new(0);
/// Signals that were blocked.
static BLOCKED: AtomicU64 = AtomicU64::new(0);

/// The signals that a mask has bits for.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// Runs before `main`, where Rust's own start has not ignored SIGPIPE yet.
#[used]
// SAFETY: the section holds pointers to functions of this type, which libc calls once, with the program's
// arguments, when it is ready itself; this one needs nothing of Rust's own start.
#[unsafe(link_section = ".init_array")]
static REMEMBER_SIGNALS: extern "C" fn() = remember_signals;

extern "C" fn remember_signals() {
    let ignored = SIGNALS.filter(|signal| is_ignored(*signal)).fold(0, |mask, one| mask | bit(one));
    IGNORED.store(ignored, Ordering::Relaxed);
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: it changes nothing without a new mask, and fills `set` if it succeeds.
    if unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr()) } == 0 {
        // SAFETY: it was filled.
        let set = unsafe { set.assume_init() };
        // SAFETY: the set is whole.
        let blocks = |signal: &i32| unsafe { libc::sigismember(&raw const set, *signal) } == 1;
        let blocked = SIGNALS.filter(blocks).fold(0, |mask, one| mask | bit(one));
        BLOCKED.store(blocked, Ordering::Relaxed);
    }
}

/// Whether the signal was ignored when the process started, as `nohup` has SIGHUP ignored.
#[must_use]
pub fn was_ignored(signal: i32) -> bool {
    SIGNALS.contains(&signal) && IGNORED.load(Ordering::Relaxed) & bit(signal) != 0
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: it changes nothing without a new action, and fills `action` if it succeeds; libc refuses
    // the signals that it uses itself.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: it was filled.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// To be called first of all, while there are no other threads. Removes the variables that could make
/// the program do for its user what the user may not.
pub fn begin() {
    let variables = is_raised().then(|| {
        let all: Vec<_> = env::vars_os().collect();
        for (name, _) in &all {
            if !HARMLESS.iter().any(|harmless| name == harmless) {
                // SAFETY: no other thread reads or writes the environment: there is none.
                unsafe { env::remove_var(name) };
            }
        }
        all
    });
    // A second call keeps what the first one stored.
    let _ = START.set(Start { locked_memory: getrlimit(Resource::Memlock), variables });
}

/// The program may do what its user may not, by capabilities of its file or by its set-user-ID or
/// set-group-ID bit.
#[must_use]
pub fn is_raised() -> bool {
    static RAISED: OnceLock<bool> = OnceLock::new();
    *RAISED.get_or_init(|| {
        // SAFETY: it only reads a table that the kernel has given to the process.
        let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
        is_secure || getuid() != geteuid() || getgid() != getegid()
    })
}

/// Does something with the user's own rights: in this thread, without effective capabilities and with
/// the real ids as effective ones. Does just that where they are the program's, too.
///
/// # Errors
/// What `work` says; and if the rights cannot be changed.
pub fn as_user<T, E: From<io::Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    if !is_raised() {
        return work();
    }
    let raised = Raised::lower().map_err(|errno| E::from(errno.into()))?;
    let result = work();
    drop(raised);
    result
}

/// The rights that have been laid down for a while. Dropping it takes them up again.
struct Raised {
    uid: Uid,
    gid: Gid,
    capabilities: CapabilitySets,
}

impl Raised {
    fn lower() -> Result<Self, Errno> {
        let raised = Self { uid: geteuid(), gid: getegid(), capabilities: capabilities(None)? };
        // From here on dropping it puts right whatever has been done.
        set_thread_res_gid(None, Some(getgid()), None)?;
        set_thread_res_uid(None, Some(getuid()), None)?;
        let effective = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective, ..raised.capabilities })?;
        Ok(raised)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // The saved ids are the program's, and nothing was taken from the permitted capabilities.
        let restored = set_thread_res_uid(None, Some(self.uid), None)
            .and_then(|()| set_thread_res_gid(None, Some(self.gid), None))
            .and_then(|()| set_capabilities(None, self.capabilities));
        if let Err(errno) = restored {
            log::warn!("cannot take up the program's own rights again: {errno}");
        }
    }
}

/// Has a command run as its user would have run it: without capabilities, unless the user is root, with
/// the real ids, with all variables, and with signals and limits as this process got them.
pub fn hand_over(command: &mut Command) {
    let start = START.get();
    if let Some(variables) = start.and_then(|start| start.variables.as_ref()) {
        command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    }
    let locked_memory = start.map(|start| start.locked_memory);
    let (uid, gid, raised) = (getuid(), getgid(), is_raised());
    let (ignored, blocked) = (IGNORED.load(Ordering::Relaxed), set_of(&BLOCKED));
    let prepare = move || {
        if raised {
            set_thread_res_gid(Some(gid), Some(gid), Some(gid))?;
        }
        if !uid.is_root() {
            clear_ambient_capability_set()?;
        }
        if raised {
            set_thread_res_uid(Some(uid), Some(uid), Some(uid))?;
        }
        if !uid.is_root() {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, sets)?;
        }
        if let Some(limit) = &locked_memory {
            setrlimit(Resource::Memlock, Rlimit { ..*limit })?;
        }
        restore_signals(ignored, &blocked)
    };
    // SAFETY: in the child it makes system calls only, which is safe after a fork of a process with
    // threads, and neither allocates nor takes locks.
    unsafe { command.pre_exec(prepare) };
}

fn set_of(mask: &AtomicU64) -> libc::sigset_t {
    let mask = mask.load(Ordering::Relaxed);
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: it fills the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in SIGNALS.filter(|signal| mask & bit(*signal) != 0) {
        // SAFETY: the set was filled, and libc refuses an invalid signal number.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: it was filled.
    unsafe { set.assume_init() }
}

/// A program that is executed keeps only what is ignored and what is blocked.
fn restore_signals(ignored: u64, blocked: &libc::sigset_t) -> io::Result<()> {
    for signal in SIGNALS.filter(|signal| ignored & bit(*signal) != 0) {
        // SAFETY: ignoring a signal calls nothing.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: the set is whole, and the old one is not wanted.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, blocked, ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
