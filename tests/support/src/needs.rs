//! Tests ask here for what not every machine has: root, a program, a feature of the kernel. A test
//! that does not get it returns, and counts as passed.
//!
//! What was skipped is said in one line at the end of each test binary, below libtest's own result:
//! `skipped for want of root (27), zsh (1)`. libtest shows nothing of what a passing test prints, so
//! the line is written when the process exits, straight to standard error. With [`NO_SKIP`] in the
//! environment nothing is skipped: the test fails.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Where this variable is set, a test that lacks something fails. CI sets it.
pub const NO_SKIP: &str = "HIST_BPF_NO_SKIP";

/// What was lacking, and how often.
static SKIPPED: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Whether this is root, who may load and attach programs.
#[must_use]
#[track_caller]
pub fn root() -> bool {
    that(rustix::process::geteuid().is_root(), "root")
}

/// Whether a program is in the path. `cargo xtask setup` installs those that tests ask for.
#[must_use]
#[track_caller]
pub fn program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    that(std::env::split_paths(&path).any(|folder| folder.join(name).exists()), name)
}

/// Whether a file is there that the kernel has for one of its features.
#[must_use]
#[track_caller]
pub fn file(path: impl AsRef<Path>, feature: &str) -> bool {
    that(path.as_ref().exists(), feature)
}

/// `is_there`; remembers `what`, a noun, if it is not.
///
/// # Panics
/// Where nothing may be skipped.
#[must_use]
#[track_caller]
pub fn that(is_there: bool, what: &str) -> bool {
    if !is_there {
        assert!(
            std::env::var_os(NO_SKIP).is_none(),
            "{NO_SKIP} is set, and this test wants {what}"
        );
        skip(what);
    }
    is_there
}

fn skip(what: &str) {
    // For a test that is run with --nocapture, or fails later.
    eprintln!("skipped for want of {what}");
    let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if skipped.is_empty() {
        // SAFETY: the handler is a function of this program, which is there until it exits, and does
        // not unwind: what could fail in it is ignored.
        let result = unsafe { libc::atexit(say_what_was_skipped) };
        assert_eq!(result, 0, "no memory for a handler");
    }
    *skipped.entry(what.to_owned()).or_default() += 1;
}

/// Runs when the process exits.
extern "C" fn say_what_was_skipped() {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    let parts: Vec<_> = skipped.iter().map(|(what, times)| format!("{what} ({times})")).collect();
    // Not by a macro, whose output libtest would take. Nobody is left to tell if it fails.
    let _ = writeln!(std::io::stderr(), "skipped for want of {}\n", parts.join(", "));
}
