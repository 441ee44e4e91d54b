//! Finds tracefs by the list of mounts, mounts it if need be, and reads the events that it
//! describes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FsWord, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::error::{EventError, MountError};
use super::event::is_part;
use super::format::{self, EventFormat};
use super::lockdown;
use super::{EventName, EventNameError};
use crate::diag::nearest;
use crate::escape::is_clean;
use crate::sys::rights::as_user;

/// Where tracefs belongs (Documentation/trace/ftrace.rst of the kernel).
const USUAL_ROOT: &str = "/sys/kernel/tracing";
/// What statfs(2) calls tracefs (`TRACEFS_MAGIC` in Linux include/uapi/linux/magic.h).
const TRACEFS_MAGIC: FsWord = 0x7472_6163;
/// The mounts of this process; proc_pid_mountinfo(5).
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// A mounted tracefs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracefs {
    /// The folder that holds `events`.
    pub root: PathBuf,
    /// It was not mounted before; [`find_or_mount`] did it.
    pub newly_mounted: bool,
    /// The user named this path, so it is read with the user's own rights.
    is_users: bool,
}

/// The tracefs of this machine: the mounted one, else one mounted now at its usual place.
///
/// # Errors
/// If there is none and it cannot be mounted; the text names the command to run.
pub fn find_or_mount() -> Result<Tracefs, MountError> {
    let found = mounted().map_err(|source| MountError::Mounts { path: MOUNTINFO, source })?;
    match found.filter(|root| holds_events(root)) {
        Some(root) => Ok(Tracefs::at(root)),
        // Mounting it would help nobody.
        None if lockdown::is_confidential() => Err(MountError::LockedDown),
        None => mount_usual(),
    }
}

/// The root of the tracefs that is mounted now, if there is one and the mounts can be read.
#[must_use]
pub fn mounted_root() -> Option<PathBuf> {
    mounted().ok().flatten()
}

fn mounted() -> io::Result<Option<PathBuf>> {
    // The list of all mounts takes a while.
    if is_tracefs(Path::new(USUAL_ROOT)) {
        return Ok(Some(USUAL_ROOT.into()));
    }
    Ok(find(&String::from_utf8_lossy(&fs::read(MOUNTINFO)?)))
}

/// The root of tracefs in the text of a mountinfo file: at its usual place if it is there, else
/// the first tracefs, else below the first debugfs, which older kernels mount it into.
#[must_use]
pub fn find(mountinfo: &str) -> Option<PathBuf> {
    let whole: Vec<_> =
        mountinfo.lines().filter_map(line).filter(|line| line.root == "/").collect();
    let of_type = |kind| whole.iter().filter(move |line| line.fs_type == kind).map(Line::path);
    of_type("tracefs")
        .find(|path| path == Path::new(USUAL_ROOT))
        .or_else(|| of_type("tracefs").next())
        .or_else(|| of_type("debugfs").next().map(|path| path.join("tracing")))
}

/// The root of the cgroups of version 2 that is mounted now, if there is one and the mounts can be
/// read.
#[must_use]
pub fn cgroup2_root() -> Option<PathBuf> {
    find_cgroup2(&String::from_utf8_lossy(&fs::read(MOUNTINFO).ok()?))
}

/// The root of the first cgroup2 filesystem in the text of a mountinfo file.
#[must_use]
pub fn find_cgroup2(mountinfo: &str) -> Option<PathBuf> {
    let mut lines = mountinfo.lines().filter_map(line);
    lines.find(|line| line.fs_type == "cgroup2").map(|line| line.path())
}

/// What a line of mountinfo says.
struct Line<'a> {
    /// Which part of the filesystem is mounted.
    root: &'a str,
    /// Where, with octal escapes.
    mount_point: &'a str,
    fs_type: &'a str,
}

impl Line<'_> {
    fn path(&self) -> PathBuf {
        unescape(self.mount_point)
    }
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [TAG]... - TYPE SOURCE OPTIONS`
fn line(text: &str) -> Option<Line<'_>> {
    let (mount, filesystem) = text.split_once(" - ")?;
    let mut words = mount.split(' ').skip(3);
    let (root, mount_point) = (words.next()?, words.next()?);
    Some(Line { root, mount_point, fs_type: filesystem.split(' ').next()? })
}

/// Space, tab, newline and backslash stand in mountinfo as a backslash and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'\\').then(|| octal(after)).flatten();
        path.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    OsString::from_vec(path).into()
}

/// The byte that three octal digits stand for.
fn octal(text: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(text.get(..3)?).ok()?;
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')).then_some(())?;
    u8::from_str_radix(digits, 8).ok()
}

/// A tracefs is mounted there, and events can be seen.
fn is_tracefs(root: &Path) -> bool {
    statfs(root).is_ok_and(|found| found.f_type == TRACEFS_MAGIC) && holds_events(root)
}

/// False if certainly not; what may not be looked into counts, so that the error says so later.
fn holds_events(root: &Path) -> bool {
    !matches!(fs::metadata(root.join("events")), Err(error) if is_absent(&error))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn mount_usual() -> Result<Tracefs, MountError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match mount("tracefs", USUAL_ROOT, "tracefs", flags, None) {
        Ok(()) => Ok(Tracefs { newly_mounted: true, ..Tracefs::at(USUAL_ROOT) }),
        // Another process was faster.
        Err(Errno::BUSY) => Ok(Tracefs::at(USUAL_ROOT)),
        Err(Errno::PERM | Errno::ACCESS) => Err(MountError::NotPermitted),
        Err(errno @ (Errno::NODEV | Errno::NOENT)) => {
            Err(MountError::NoTracefs { source: errno.into() })
        }
        Err(errno) => Err(MountError::Failed { source: errno.into() }),
    }
}

impl Tracefs {
    /// The one at `root`, whether or not it is there.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), newly_mounted: false, is_users: false }
    }

    /// The one at `root`, which is read with the rights of the user who has named it.
    #[must_use]
    pub fn of_user(root: impl Into<PathBuf>) -> Self {
        Self { is_users: true, ..Self::at(root) }
    }

    /// Its events can be listed.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.reading(|| fs::read_dir(self.events())).is_ok()
    }

    fn reading<T>(&self, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.is_users { as_user(read) } else { read() }
    }

    /// Reads what the event looks like. Looks at other events only if there is no such one.
    ///
    /// # Errors
    /// If there is no such event (with the nearest names), it may not be read (with who may), or
    /// its `format` file is broken.
    pub fn event(&self, name: &EventName) -> Result<EventFormat, EventError> {
        if !name.is_plain() {
            return Err(EventNameError(name.to_string()).into());
        }
        let path = self.events().join(&name.system).join(&name.name).join("format");
        match self.reading(|| fs::read_to_string(&path)) {
            Ok(text) => {
                let parsed = format::parse(&name.system, &text);
                let event = parsed.map_err(|source| EventError::Format { path, source })?;
                Ok(EventFormat { all_calls: self.all_calls(&event), ..event })
            }
            Err(error) if is_absent(&error) => Err(self.unknown(name)),
            Err(error) => Err(self.unreadable(path, error)),
        }
    }

    /// The number of the event of all system calls that has what `event`, if it is that of a single
    /// one, has at the same places.
    fn all_calls(&self, event: &EventFormat) -> Option<u32> {
        let name = event.all_calls_event()?;
        let path = self.events().join("raw_syscalls").join(name).join("format");
        let text = self.reading(|| fs::read_to_string(path)).ok()?;
        let all = format::parse("raw_syscalls", &text).ok()?;
        event.is_part_of(&all).then_some(all.id)
    }

    /// The name of every event, sorted. Reads folders, but no event's format.
    ///
    /// # Errors
    /// If this is no tracefs, or it may not be read.
    pub fn event_names(&self) -> Result<Vec<EventName>, EventError> {
        let mut names = Vec::new();
        for system in self.folders(self.events())? {
            let events = self.folders(self.events().join(&system))?;
            names.extend(events.into_iter().map(|event| EventName::new(&system, event)));
        }
        Ok(names)
    }

    fn folders(&self, path: PathBuf) -> Result<BTreeSet<String>, EventError> {
        self.reading(|| folders(&path)).map_err(|error| match is_absent(&error) {
            true => self.without_events(),
            false => self.unreadable(path, error),
        })
    }

    /// The kernel's list of dynamic events; empty on kernels without any such feature.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn dynamic_events(&self) -> Result<String, EventError> {
        let path = self.root.join("dynamic_events");
        match self.reading(|| fs::read_to_string(&path)) {
            Err(error) if is_absent(&error) => Ok(String::new()),
            result => result.map_err(|error| self.unreadable(path, error)),
        }
    }

    fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    fn without_events(&self) -> EventError {
        match self.is_hidden() {
            true => EventError::LockedDown,
            false => EventError::NotTracefs { root: self.root.clone() },
        }
    }

    /// It is one of this kernel's, which hides what is in it.
    fn is_hidden(&self) -> bool {
        self.reading(|| Ok(statfs(&self.root)?)).is_ok_and(|found| found.f_type == TRACEFS_MAGIC)
            && lockdown::is_confidential()
    }

    fn unreadable(&self, path: PathBuf, source: io::Error) -> EventError {
        if source.kind() != ErrorKind::PermissionDenied {
            return EventError::Read { path, source };
        }
        if self.is_hidden() {
            return EventError::LockedDown;
        }
        EventError::Denied { path, readers: self.readers(), root: self.root.clone() }
    }

    /// Who may look into tracefs.
    fn readers(&self) -> String {
        self.reading(|| fs::metadata(&self.root)).map_or_else(
            |_| "its owner".to_owned(),
            |root| {
                let (uid, gid, mode) = (root.uid(), root.gid(), root.mode() & 0o777);
                format!("user {uid} and group {gid} as mode {mode:o} allows")
            },
        )
    }

    /// Why there is no such event, with what may have been meant.
    fn unknown(&self, event: &EventName) -> EventError {
        let EventName { system, name } = event;
        let systems = match self.reading(|| folders(&self.events())) {
            Ok(systems) => systems,
            Err(error) if is_absent(&error) => return self.without_events(),
            Err(error) => return self.unreadable(self.events(), error),
        };
        let has = |other: &&String| {
            let path = self.events().join(other).join(name);
            self.reading(|| fs::metadata(path)).is_ok_and(|found| found.is_dir())
        };
        let namesakes = systems.iter().filter(has);
        let namesakes = namesakes.map(|other| format!("{other}:{name}"));
        if !systems.contains(system) {
            let near = nearest(system, names(&systems)).map(str::to_owned);
            let nearest = namesakes.chain(near).collect();
            return EventError::UnknownSystem { system: system.clone(), nearest };
        }
        match self.reading(|| folders(&self.events().join(system))) {
            Ok(events) => {
                let near = nearest(name, names(&events)).map(|near| format!("{system}:{near}"));
                let nearest = near.into_iter().chain(namesakes).collect();
                EventError::UnknownEvent { event: event.clone(), nearest }
            }
            Err(error) => self.unreadable(self.events().join(system), error),
        }
    }
}

fn names(set: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    set.iter().map(String::as_str)
}

/// The names of the folders in `path`, but for those that no system and no event can have.
fn folders(path: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
            && is_part(&name)
            && is_clean(&name)
        {
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use hist_test_support::needs;

    use super::*;
    use proptest::prelude::*;

    const SYSFS: &str = "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw";

    #[test]
    fn tracefs_is_found_in_the_list_of_mounts() {
        for (lines, want) in [
            (vec![], None),
            (vec![SYSFS], None),
            (
                vec![
                    "30 23 0:12 / /sys/kernel/tracing rw,nosuid shared:9 master:2 - tracefs tracefs rw",
                ],
                Some("/sys/kernel/tracing"),
            ),
            // The usual place comes first, wherever it stands.
            (
                vec![
                    "31 23 0:12 / /mnt/t rw - tracefs t rw",
                    SYSFS,
                    "30 23 0:12 / /sys/kernel/tracing rw - tracefs none rw",
                ],
                Some("/sys/kernel/tracing"),
            ),
            (
                vec![
                    "31 23 0:12 / /mnt/my\\040own\\134t rw - tracefs t rw",
                    "32 23 0:12 / /mnt/other rw - tracefs t rw",
                ],
                Some("/mnt/my own\\t"),
            ),
            // An instance, bound somewhere, is not the whole.
            (vec!["31 23 0:12 /instances/a /mnt/a rw - tracefs t rw"], None),
            (
                vec![
                    "29 23 0:7 / /sys/kernel/debug rw - debugfs debugfs rw",
                    "31 23 0:12 / /mnt/t rw - tracefs t rw",
                ],
                Some("/mnt/t"),
            ),
            (
                vec!["29 23 0:7 / /sys/kernel/debug rw - debugfs debugfs rw"],
                Some("/sys/kernel/debug/tracing"),
            ),
            // A source that is called like the type.
            (vec!["31 23 0:12 / /mnt/t rw - tmpfs tracefs rw"], None),
            (vec!["garbage", "- tracefs", " - tracefs t rw", "1 2 3 - tracefs t rw"], None),
        ] {
            assert_eq!(find(&lines.join("\n")), want.map(PathBuf::from), "{lines:?}");
        }
    }

    #[test]
    fn only_whole_escapes_are_undone() {
        for (text, want) in [
            ("/a\\040b", "/a b"),
            ("/a\\011\\012\\134", "/a\t\n\\"),
            ("/a\\04", "/a\\04"),
            ("/a\\049", "/a\\049"),
            ("/a\\777", "/a\\777"),
            ("/a\\+40", "/a\\+40"),
            ("/ä\\040ö", "/ä ö"),
        ] {
            assert_eq!(unescape(text), PathBuf::from(want));
        }
    }

    proptest! {
        #[test]
        fn any_list_of_mounts_is_read(text in "([0-9]{1,2} [/ \\\\0-7a-z-]{0,20} - tracefs x\n?){0,4}") {
            let _found = find(&text);
        }
    }

    #[test]
    fn a_folder_that_is_no_tracefs_is_told() {
        let error = Tracefs::at("/proc/self")
            .event(&EventName::new("kmem", "kmalloc"))
            .expect_err("no tracefs");
        assert!(matches!(error, EventError::NotTracefs { .. }), "{error}");
        let error =
            Tracefs::at("/proc/self").event(&EventName::new("..", "kmalloc")).expect_err("no name");
        assert!(matches!(error, EventError::Name(_)), "{error}");
    }

    #[test]
    fn a_folders_name_could_colour_the_terminal() {
        let folder = tempfile::tempdir().expect("a folder");
        let events = folder.path().join("events");
        for name in ["kmem/kmalloc", "kmem/\u{1b}[2Jkmalloc", "\u{202e}kmem/kmalloc", "a b/c"] {
            fs::create_dir_all(events.join(name)).expect("a folder");
        }
        let tracefs = Tracefs::at(folder.path());
        let names = tracefs.event_names().expect("a list");
        assert_eq!(names, [EventName::new("kmem", "kmalloc")]);
        let error =
            tracefs.event(&EventName::new("kmem", "kmaloc")).expect_err("another").to_string();
        assert_eq!(error, "there is no event `kmem:kmaloc`; did you mean kmem:kmalloc?");
    }

    #[test]
    fn errors_name_the_way_out() {
        let error = Tracefs::at("/proc/self")
            .unreadable("/proc/self/events/a/b/format".into(), ErrorKind::PermissionDenied.into());
        let text = error.to_string();
        assert!(text.contains("may be read by user ") && text.contains("as mode 555"), "{text}");
        assert!(text.contains("mount -o remount,gid=GROUP,mode=750 /proc/self"), "{text}");
        let text = MountError::NotPermitted.to_string();
        assert!(
            text.contains(crate::kernel::error::MOUNT_COMMAND) && text.contains("CAP_SYS_ADMIN"),
            "{text}"
        );
    }

    #[test]
    fn another_filesystem_is_no_tracefs() {
        assert!(!is_tracefs(Path::new("/proc")) && !is_tracefs(Path::new("/nowhere")));
        let Some(tracefs) = live() else { return };
        assert!(is_tracefs(&tracefs.root));
    }

    /// This machine's tracefs, which only root can use.
    fn live() -> Option<Tracefs> {
        needs::root().then(|| find_or_mount().expect("root can mount tracefs"))
    }

    #[test]
    fn every_event_of_this_machine_is_understood() {
        let Some(tracefs) = live() else { return };
        let mut count = 0;
        // Other tests make events of that system and remove them.
        let mut systems = folders(&tracefs.events()).expect("events");
        systems.remove("hist_bpf_test");
        for system in systems {
            for name in folders(&tracefs.events().join(&system)).expect("a system") {
                // Only folders with a format file are events; `ftrace` has some without.
                if !tracefs.events().join(&system).join(&name).join("format").exists() {
                    continue;
                }
                let event = tracefs
                    .event(&EventName::new(&system, &name))
                    .unwrap_or_else(|e| panic!("{e}"));
                check_event(&event, &name);
                count += 1;
            }
        }
        assert!(count > 100, "only {count} events");
    }

    fn check_event(event: &EventFormat, name: &str) {
        assert_eq!(event.name.name, name);
        assert!(event.id > 0);
        let common: Vec<_> =
            event.fields.iter().filter(|f| f.common).map(|f| f.name.as_str()).collect();
        assert!(common.starts_with(&[
            "common_type",
            "common_flags",
            "common_preempt_count",
            "common_pid"
        ]));
        for field in &event.fields {
            assert!(!field.type_name.is_empty() && !field.name.is_empty(), "{event:?}");
            assert_eq!(field.common, field.name.starts_with("common_"), "{event:?}");
        }
    }

    #[test]
    fn unknown_events_name_the_nearest() {
        let Some(tracefs) = live() else { return };
        for (system, name, want) in [
            ("kmem", "kmaloc", "there is no event `kmem:kmaloc`; did you mean kmem:kmalloc?"),
            (
                "sched",
                "sys_enter",
                "there is no event `sched:sys_enter`; did you mean raw_syscalls:sys_enter?",
            ),
            ("kmme", "zzz", "there is no event system `kmme`; did you mean kmem?"),
            (
                "sycalls",
                "kmalloc",
                "there is no event system `sycalls`; did you mean kmem:kmalloc or syscalls?",
            ),
            ("qqqqqqqqq", "zzz", "there is no event system `qqqqqqqqq`"),
            ("kmem", "qqqqqqqqq", "there is no event `kmem:qqqqqqqqq`"),
            ("kmem", "enable", "there is no event `kmem:enable`"),
        ] {
            let error = tracefs.event(&EventName::new(system, name)).expect_err(name).to_string();
            assert_eq!(error, want);
        }
    }
}
