//! Tells whether the kernel is locked down so far that nothing can be counted.
//!
//! In the mode `confidentiality` it makes no file in tracefs, or lets nobody open those that it has made
//! before, and its verifier refuses whatever reads kernel memory (`LOCKDOWN_TRACEFS`,
//! `LOCKDOWN_BPF_READ_KERNEL` in Linux include/linux/security.h). In the mode `integrity`, which Secure
//! Boot sets on many distributions, it forbids nothing that counting takes.

use std::fs;

/// The modes, the current one in brackets: `none [integrity] confidentiality`. Since Linux 5.4, where
/// securityfs is mounted.
const MODES: &str = "/sys/kernel/security/lockdown";
/// What the kernel was booted with.
const COMMAND_LINE: &str = "/proc/cmdline";

/// What is wrong then, and the way out, for messages.
pub const CONFIDENTIAL: &str = "the kernel is locked down (confidentiality), which hides its trace events and forbids BPF programs \
     to read kernel memory; counting needs a boot with lockdown=integrity or without lockdown=";

/// The running kernel hides its trace events. False if it cannot be known.
#[must_use]
pub fn is_confidential() -> bool {
    match fs::read_to_string(MODES) {
        Ok(modes) => current(&modes) == Some("confidentiality"),
        Err(_) => fs::read_to_string(COMMAND_LINE)
            .is_ok_and(|words| booted_with(&words) == Some("confidentiality")),
    }
}

/// The word in brackets.
fn current(modes: &str) -> Option<&str> {
    Some(modes.split_once('[')?.1.split_once(']')?.0)
}

/// The last `lockdown=` of the kernel's own words; those after `--` are for init.
fn booted_with(words: &str) -> Option<&str> {
    let own = words.split_whitespace().take_while(|word| *word != "--");
    own.filter_map(|word| word.strip_prefix("lockdown=")).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_the_word_in_brackets() {
        assert_eq!(current("none integrity [confidentiality]\n"), Some("confidentiality"));
        assert_eq!(current("none [integrity] confidentiality\n"), Some("integrity"));
        for broken in ["", "none integrity confidentiality", "]none[", "[none"] {
            assert_eq!(current(broken), None, "{broken}");
        }
    }

    #[test]
    fn without_securityfs_the_boot_says_it() {
        assert_eq!(
            booted_with("quiet lockdown=integrity lockdown=confidentiality -- x\n"),
            Some("confidentiality")
        );
        assert_eq!(booted_with("quiet -- lockdown=confidentiality\n"), None);
        assert_eq!(booted_with(""), None);
    }
}
