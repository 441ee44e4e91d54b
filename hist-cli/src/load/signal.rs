//! Takes nothing. Gives a process that a limit on the size of files does not kill.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Has a write that would make a file larger than the process may (`ulimit -f`) fail with `EFBIG`,
/// where SIGXFSZ would end the process in the middle of a table. A command that is executed gets the
/// signal as ever: it is caught, not ignored, and what is caught is not inherited.
///
/// # Errors
/// What sigaction(2) says.
pub fn survive_file_size_limit() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction(2) writes a whole `struct sigaction`, for which there is room, and reads
    // none; zeros are one, too.
    let before = unsafe {
        check(libc::sigaction(libc::SIGXFSZ, ptr::null(), before.as_mut_ptr()))?;
        before.assume_init()
    };
    if before.sa_sigaction == libc::SIG_IGN {
        // It fails with EFBIG already, and children are to inherit that.
        return Ok(());
    }
    let mut action = before;
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is a whole `struct sigaction`; its handler does nothing, which is safe at any
    // moment.
    check(unsafe { libc::sigaction(libc::SIGXFSZ, &raw const action, ptr::null_mut()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
