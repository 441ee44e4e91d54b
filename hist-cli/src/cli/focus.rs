//! Checks against this machine whose events are to be counted, and sets that focus up in the
//! kernel.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use rustix::fs::{OFlags, fstatfs};

use super::options::FocusOptions;
use super::unique::each_once;
use crate::escape::name_of;
use crate::kernel::EventName;
use crate::kernel::Facts;
use crate::kernel::Needs;
use crate::kernel::tracefs::{self, Tracefs};
use crate::load::{self, FocusError, LiveFocus, WatchedEvents};
use crate::plan::focus::{Birth, BirthOffsets, Focus, PROCESSES_MAX, Processes, runs};
use crate::resolve;
use crate::sys::rights::as_user;

/// The inode of the initial pid namespace (`PROC_PID_INIT_INO` in Linux include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;
/// What a cgroup v2 filesystem is known by (`CGROUP2_SUPER_MAGIC` in Linux
/// include/uapi/linux/magic.h).
const CGROUP2_MAGIC: i64 = 0x6367_7270;
/// More than that are refused: each takes an instruction or two at every event.
const PIDS_MAX: usize = 1024;

/// More CPUs than Linux has on any machine (`NR_CPUS` in Linux arch/x86/Kconfig is at most 8192).
const MANY_CPUS: u32 = 65536;

/// A focus that makes sense on this machine.
pub(super) struct Target {
    /// For the programs.
    pub focus: Focus,
    cgroup: Option<File>,
    /// What is followed from the start.
    follows: Vec<u32>,
    /// The command is.
    pub follows_command: bool,
}

/// A focus in the kernel.
pub(super) struct Focused {
    /// What the programs look into.
    pub live: Arc<LiveFocus>,
    follows: Vec<u32>,
    /// The command is what is followed.
    pub follows_command: bool,
}

impl Target {
    /// Checks what was asked for.
    ///
    /// # Errors
    /// If there is no such process, cgroup or CPU.
    pub(super) fn new(
        options: &FocusOptions,
        has_command: bool,
        facts: &Facts,
    ) -> anyhow::Result<Self> {
        let FocusOptions { pids, follow, system_wide, cgroup, cpus } = options;
        let pids = &each_once(pids.iter().copied());
        if !pids.is_empty() {
            check_namespace()?;
            ensure!(pids.len() <= PIDS_MAX, "-p takes at most {PIDS_MAX} processes");
        }
        pids.iter().try_for_each(|pid| check_process(*pid))?;
        let follows_command = has_command && !system_wide && pids.is_empty();
        let processes = match pids[..] {
            [] if follows_command => Processes::Set("the command and what it forks".to_owned()),
            [] => Processes::All,
            [..] if *follow => {
                let these = Focus { processes: Processes::These(pids.clone()), ..Focus::default() };
                let who = if pids.len() == 1 { "it forks" } else { "they fork" };
                Processes::Set(format!("{these} and what {who}"))
            }
            // Its end ends counting.
            [pid] if !has_command => Processes::These(vec![pid]),
            [..] => Processes::Listed(pids.clone()),
        };
        let named = match &processes {
            Processes::These(pids) | Processes::Listed(pids) => &pids[..],
            Processes::All | Processes::Set(_) => &[],
        };
        let birth = birth(named, facts)?;
        let possible = facts.possible_cpus();
        let focus = Focus {
            cpus: cpus.as_deref().map(|list| cpu_runs(list, possible)).transpose()?,
            processes,
            cgroup: cgroup.as_ref().map(|path| name_of(path)),
            birth,
            valve: false,
        };
        let cgroup = cgroup.as_deref().map(open_cgroup).transpose()?;
        let follows = if *follow { pids.clone() } else { Vec::new() };
        Ok(Self { focus, cgroup, follows, follows_command })
    }

    /// The same, for triggers that begin and end together if so wished.
    pub(super) fn together(mut self, together: bool) -> Self {
        self.focus.valve = together;
        self
    }

    /// Opens it, before anything that counts is attached to the events `counted`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn open<'a>(
        self,
        facts: &Facts,
        tracefs: &Tracefs,
        mut counted: impl Iterator<Item = &'a EventName>,
    ) -> anyhow::Result<Focused> {
        let is_followed = matches!(self.focus.processes, Processes::Set(_));
        let context = facts.context_with(Needs { symbols: false, types: is_followed });
        let btf = context.btf.context("the kernel's types are needed")?;
        let loses = context.preemption.loses(false);
        let is_classic = is_followed && (loses || counted.any(WatchedEvents::lets_in));
        let events = is_classic.then(|| WatchedEvents::find(tracefs)).transpose()?;
        let events = events.map(|events| if loses { events } else { events.of_entries() });
        let cgroup = self.cgroup.as_ref();
        let live = LiveFocus::open(&self.focus, cgroup, btf, PROCESSES_MAX, events)?;
        let Self { follows, follows_command, .. } = self;
        Ok(Focused { live: Arc::new(live), follows, follows_command })
    }
}

impl Focused {
    /// What counts is attached, but counts nothing yet: names the processes.
    ///
    /// # Errors
    /// If one of them has ended, or the kernel refuses.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        self.live.settle()?;
        self.follows.iter().try_for_each(|pid| self.live.add(*pid))?;
        self.add_descendants()
    }

    /// Those that are there already. What they fork from now on is added in the kernel, so once
    /// there are no others, there are none that were missed.
    fn add_descendants(&self) -> anyhow::Result<()> {
        let mut known: BTreeSet<u32> = self.follows.iter().copied().collect();
        while !self.follows.is_empty() {
            let new: Vec<_> = children(&known)?.collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                match self.live.add(pid) {
                    Ok(()) | Err(FocusError::Ended(_)) => drop(known.insert(pid)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// The processes whose parent is known, but who are not themselves.
fn children(known: &BTreeSet<u32>) -> anyhow::Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc").context("cannot list the processes in /proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|pid| {
        // One that has gone meanwhile has nothing to be counted.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        !known.contains(pid) && field(&status, "PPid:").is_some_and(|ppid| known.contains(&ppid))
    }))
}

/// The first number of a line of /proc/PID/status.
fn field(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Programs see pids as the initial namespace has them, and from within another one there is no
/// telling which those are.
fn check_namespace() -> anyhow::Result<()> {
    let path = "/proc/self/ns/pid";
    let inode = fs::metadata(path).with_context(|| format!("cannot read {path}"))?.ino();
    ensure!(
        inode == INITIAL_PID_NAMESPACE,
        "-p cannot be used within a pid namespace, such as a container's: the kernel counts by the \
         host's pids. Run it on the host, or use --cgroup or a COMMAND, which work here"
    );
    Ok(())
}

fn check_process(pid: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/status");
    let status = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_process(pid)),
        result => result.with_context(|| format!("cannot read {path}"))?,
    };
    match field(&status, "Tgid:") {
        Some(process) if process != pid => bail!(
            "{pid} is a thread of process {process}: -p counts whole processes; to count one thread \
             use the filter `if common_pid == {pid}`"
        ),
        _ => Ok(()),
    }
}

fn no_process(pid: u32) -> anyhow::Error {
    anyhow!("there is no process {pid}")
}

/// When the processes started, which later ones with their pids did not. `None` where programs cannot
/// find that out.
fn birth(pids: &[u32], facts: &Facts) -> anyhow::Result<Option<Birth>> {
    let is_needed = !pids.is_empty() && sees_kernels_time();
    let btf = is_needed.then(|| facts.context().btf).flatten();
    // Without types, pids are forgotten by this process when theirs end.
    let offsets = btf.and_then(|btf| BirthOffsets::find(btf).ok().flatten());
    let offsets = offsets.filter(|offsets| load::tells_births(*offsets));
    let Some(offsets) = offsets else { return Ok(None) };
    let tick = |pid: &u32| match load::started(*pid) {
        Ok(Some(ticks)) => Ok(ticks),
        Ok(None) => Err(no_process(*pid)),
        Err(error) => Err(error).context(format!("cannot read when process {pid} started")),
    };
    let ticks = pids.iter().map(tick).collect::<anyhow::Result<_>>()?;
    Ok(Some(Birth { offsets, ticks }))
}

/// Whether /proc tells this process the kernel's own time since boot. A time namespace may have
/// another; before Linux 5.6 there are none.
fn sees_kernels_time() -> bool {
    /// `PROC_TIME_INIT_INO` in Linux include/linux/proc_ns.h
    const INITIAL_TIME_NAMESPACE: u64 = 0xefff_fffa;
    let inode = fs::metadata("/proc/self/ns/time").map(|metadata| metadata.ino());
    inode.is_ok_and(|inode| inode == INITIAL_TIME_NAMESPACE)
}

fn cpu_runs(list: &str, possible: u32) -> anyhow::Result<Vec<(u32, u32)>> {
    if let Some(cpus) = resolve::cpu_list(list, possible).filter(|cpus| !cpus.is_empty()) {
        return Ok(runs(&cpus));
    }
    let is_list = resolve::cpu_list(list, MANY_CPUS).is_some_and(|cpus| !cpus.is_empty());
    ensure!(is_list, "--cpu `{list}` is not a list of CPUs, such as 0-3,8");
    match possible.saturating_sub(1) {
        0 => bail!("--cpu {list}: this machine has CPU 0 only"),
        last => bail!("--cpu {list}: this machine has the CPUs 0 to {last} only"),
    }
}

/// Opens a cgroup by its path in the file system, or below the root of the cgroups.
fn open_cgroup(path: &Path) -> anyhow::Result<File> {
    let absolute = path.is_absolute().then(|| as_user(|| open_folder(path)).ok()).flatten();
    let is_there = path.is_absolute() && as_user(|| fs::metadata(path)).is_ok();
    if let Some(folder) = absolute
        && is_cgroup(&folder)?
    {
        return Ok(folder);
    }
    let root = tracefs::cgroup2_root()
        .with_context(|| format!("--cgroup {}: no cgroup2 filesystem is mounted", name_of(path)))?;
    let full: PathBuf = root.join(path.strip_prefix("/").unwrap_or(path));
    let folder = match as_user(|| open_folder(&full)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (path, root) = (name_of(path), name_of(&root));
            // Such as one of version 1.
            ensure!(!is_there, "{path} is not a cgroup of version 2; those are below {root}");
            bail!("there is no cgroup {path} in {root}")
        }
        result => result.with_context(|| format!("cannot open the cgroup {}", name_of(&full)))?,
    };
    ensure!(is_cgroup(&folder)?, "{} is not a cgroup of version 2", name_of(&full));
    Ok(folder)
}

/// A named pipe in its place would keep who opens it waiting.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

fn is_cgroup(file: &File) -> io::Result<bool> {
    #[allow(clippy::unnecessary_cast, reason = "its type depends on the architecture")]
    let magic = fstatfs(file)?.f_type as i64;
    Ok(file.metadata()?.is_dir() && magic == CGROUP2_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_those_of_the_machine() {
        assert_eq!(cpu_runs("0", 2).expect("a list"), [(0, 0)]);
        assert_eq!(cpu_runs("3,0-1", 4).expect("a list"), [(0, 1), (3, 3)]);
        for bad in ["", "2", "0-2", "x", "-1", "1-0"] {
            let error = cpu_runs(bad, 2).expect_err(bad).to_string();
            let is_out = matches!(bad, "2" | "0-2");
            let part = if is_out { "has the CPUs 0 to 1 only" } else { "not a list of CPUs" };
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_thread_is_not_taken_for_a_process() {
        check_process(std::process::id()).expect("this one");
        let (send, thread) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            send.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("a receiver");
            let _ = ended.recv();
        });
        let thread = u32::try_from(thread.recv().expect("a sender")).expect("positive");
        let error = check_process(thread).expect_err("a thread").to_string();
        assert!(error.contains(&format!("a thread of process {}", std::process::id())), "{error}");
        drop(end);
        other.join().expect("no panic");
        // `pid_max` is at most 2^22.
        let error = check_process(1 << 23).expect_err("none").to_string();
        assert_eq!(error, "there is no process 8388608");
    }
}
