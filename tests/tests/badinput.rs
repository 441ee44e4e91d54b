//! Takes events that are not what they should be: strings that lie beyond their record, events that
//! are gone. Gives proof that the running kernel and the programs bear them: an error or an entry,
//! never a wrong number.
//!
//! Needs root and says so when it is not; as root everything must run.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};
use hist_cli::kernel;
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{self, AttachedTrigger, LoadError};
use hist_cli::pipeline;
use hist_cli::plan::Wishes;
use hist_cli::read;
use hist_cli::session::{Backend as _, Live, SessionError};

/// tracefs, if this process may load programs.
fn root() -> Option<&'static Tracefs> {
    static TRACEFS: LazyLock<Tracefs> = LazyLock::new(|| find_or_mount().expect("tracefs"));
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return None;
    }
    Some(&TRACEFS)
}

fn attach(event: &EventFormat, trigger: &str) -> Result<Result<AttachedTrigger, LoadError>> {
    let context = kernel::Context::default();
    let built = pipeline::build_text(trigger, event, &context, Wishes::default())?;
    let attached = load::attach(built);
    Ok(attached.map(|mut attached| attached.triggers.remove(0)))
}

/// System calls, with a string where the first argument is: its word is what a caller says.
fn with_string(tracefs: &Tracefs, type_name: &str) -> Result<EventFormat> {
    let mut event = tracefs.event(&EventName::new("raw_syscalls", "sys_enter"))?;
    let args = event.fields.iter_mut().find(|field| field.name == "args").context("args")?;
    (args.type_name, args.size) = (type_name.to_owned(), 4);
    Ok(event)
}

/// A system call that ignores its arguments.
fn getppid(argument: u32) {
    // SAFETY: this call takes nothing, whatever is in the registers.
    unsafe { libc::syscall(libc::SYS_getppid, u64::from(argument)) };
}

/// Length in the high 16 bits, offset in the low ones.
const WORDS: [u32; 8] =
    [0, 0xffff_ffff, 0x0000_ffff, 0xffff_0000, 0xffff_0040, 0x0001_0008, 0x0100_fff0, 0x8000_8000];

#[test]
fn strings_beyond_their_record_are_strings_or_nothing() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let ours = format!("id=={} && common_pid=={}", libc::SYS_getppid, rustix::thread::gettid());
    for type_name in ["__data_loc char[]", "__rel_loc char[]"] {
        let event = with_string(tracefs, type_name)?;
        for filter in ["", " && args != \"x\"", " && args ~ \"!*x*\"", " && args ~ \"*\""] {
            let trigger = attach(&event, &format!("hist:keys=args if {ours}{filter}"))??;
            WORDS.into_iter().for_each(getppid);
            trigger.pause();
            let snapshot = read::snapshot(&trigger)?;
            let hits: u64 = snapshot.rows.iter().map(|row| row.counts.hits).sum();
            // A string that cannot be read is in no case wanted by a filter.
            let all = WORDS.len() as u64;
            assert!(hits == all || !filter.is_empty() && hits < all, "{filter}: {snapshot:?}");
            for row in &snapshot.rows {
                let text = row.text(0, 256);
                assert!(row.key[text.len()..].iter().all(|byte| *byte == 0), "{row:?}");
                assert!(text.len() < 256);
            }
            let nothing = snapshot.rows.iter().find(|row| row.word(0) == 0);
            // Two words have no length.
            assert!(!filter.is_empty() || nothing.is_some_and(|row| row.counts.hits >= 2));
        }
    }
    Ok(())
}

/// A uprobe event that is gone again when this is dropped.
struct Dynamic<'a>(&'a Tracefs);

impl Drop for Dynamic<'_> {
    fn drop(&mut self) {
        // Fails if the test has done it.
        let _ = self.remove();
    }
}

impl<'a> Dynamic<'a> {
    const NAME: &'static str = "hist_bpf_test/gone";

    /// `None` if this kernel has no such events.
    fn new(tracefs: &'a Tracefs) -> Result<Option<Self>> {
        let file = tracefs.root.join("uprobe_events");
        if !file.exists() {
            eprintln!("skipped: this kernel has no uprobe events");
            return Ok(None);
        }
        let event = Self(tracefs);
        event.write(&format!("p:{} /bin/true:0x1000", Self::NAME))?;
        Ok(Some(event))
    }

    fn write(&self, text: &str) -> Result<()> {
        let file = self.0.root.join("uprobe_events");
        Ok(OpenOptions::new().append(true).open(file)?.write_all(text.as_bytes())?)
    }

    fn remove(&self) -> Result<()> {
        self.write(&format!("-:{}", Self::NAME))
    }
}

#[test]
fn an_event_that_is_gone_by_then_is_an_error() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let Some(event) = Dynamic::new(tracefs)? else { return Ok(()) };
    let (system, name) = Dynamic::NAME.split_once('/').context("two parts")?;
    let live = Live::new(tracefs.clone(), Facts::read()?, Wishes::default());
    // A session knows such events and says why it does not take them.
    let refused = live.event(&EventName::new(system, name)).err().context("it is refused")?;
    assert!(matches!(refused, SessionError::Load(LoadError::Unattachable { .. })), "{refused}");
    let format = tracefs.event(&EventName::new(system, name))?;
    event.remove()?;
    let Err(error) = attach(&format, "hist:keys=common_pid")? else { bail!("it is gone") };
    assert!(matches!(error, LoadError::Attach { .. }), "{error}");
    assert!(error.to_string().contains("cannot be attached"), "{error}");
    let gone = live.event(&EventName::new(system, name)).err().context("it is gone")?;
    assert!(matches!(gone, SessionError::Event(_)), "{gone}");
    Ok(())
}
