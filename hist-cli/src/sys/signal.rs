//! Keeps a limit on the size of files from killing the process.

use std::io;
use std::mem;
use std::ptr;

use super::rights::was_ignored;

/// Has a write that would make a file larger than the process may (`ulimit -f`) fail with `EFBIG`,
/// where SIGXFSZ would end the process in the middle of a table. A command that is executed gets the
/// signal as ever: it is caught, not ignored, and what is caught is not inherited.
///
/// # Errors
/// What sigaction(2) says.
pub fn survive_file_size_limit() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    if was_ignored(libc::SIGXFSZ) {
        // It fails with EFBIG already, and children are to inherit that.
        return Ok(());
    }
    // SAFETY: zeros are a `struct sigaction`, one that blocks no other signal.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is a whole `struct sigaction`; its handler does nothing, which is safe at any
    // moment.
    let result = unsafe { libc::sigaction(libc::SIGXFSZ, &raw const action, ptr::null_mut()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
