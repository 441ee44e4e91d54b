//! `hist-bpf serve`: metrics over HTTP until a signal ends it; SIGHUP makes it read its file again.

use std::cell::RefCell;
use std::io;
use std::net::{self, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time;

use super::args::ServeArgs;
use super::input;
use super::output::say;
use super::setup::{check_privilege, runtime, status};
use crate::escape::name_of;
use crate::kernel::Facts;
use crate::kernel::tracefs::{Tracefs, find_or_mount, mounted_root};
use crate::plan::Wishes;
use crate::serve::config;
use crate::serve::{
    self, Changes, Config, Engine, Notifier, Privileges, ReadyFd, User, drop_privileges,
};
use crate::session::Live;
use crate::sys::rights::as_user;

/// Serves, or checks.
///
/// # Errors
/// If the file is wrong, or cannot be served.
pub(super) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    if args.check {
        return check(args);
    }
    let manager = Notifier::open().context("cannot reach the service manager (NOTIFY_SOCKET)")?;
    let ready_fd = args.ready_fd.map(|fd| {
        ReadyFd::open(fd.into()).with_context(|| format!("--ready-fd {fd} is no open file"))
    });
    let ready_fd = ready_fd.transpose()?;
    // A pipe may keep it waiting, so signals still end the process.
    let bytes = bytes_of(&args.config, input::read)?;
    let user = args.user.as_deref().map(User::find).transpose();
    let user = user.map_err(|error| anyhow!("--user: {error}"))?;
    raise_file_limit();
    // Before signals are listened to, for it may take long; and not in a thread of its own, which
    // would keep all capabilities for as long as it waits for other names.
    let addresses = args.listen.to_socket_addrs();
    let addresses: Vec<_> = addresses.with_context(|| cannot_listen(&args.listen))?.collect();
    let runtime = runtime()?;
    let result = LocalSet::new().block_on(&runtime, async {
        // Before anything else: a signal that comes while triggers are attached must not be lost.
        let signals = Signals::listen().context("cannot listen to signals")?;
        serve((args, &bytes), (&addresses, user), signals, (manager, ready_fd)).await
    });
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

fn check(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let named = args.tracefs.clone().map(Tracefs::of_user);
    let tracefs = named.or_else(|| mounted_root().map(Tracefs::at));
    let readable = tracefs.filter(Tracefs::is_readable);
    if readable.is_none() {
        say("no tracefs can be read here: events and their fields were not looked up");
    }
    let bytes = bytes_of(&args.config, input::read)?;
    let config = read(args, &bytes, readable, &Rc::new(Facts::read()?))?;
    let n_metrics = config.metrics.len();
    say(&format!("{}: nothing wrong, {}", name_of(&args.config), metrics(n_metrics)));
    Ok(ExitCode::SUCCESS)
}

fn bytes_of(path: &Path, read: fn(&Path) -> io::Result<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    as_user(|| read(path)).with_context(|| format!("cannot read {}", name_of(path)))
}

/// Takes what is in the file; the error has all that is wrong with it.
fn read(
    args: &ServeArgs,
    bytes: &[u8],
    tracefs: Option<Tracefs>,
    facts: &Rc<Facts>,
) -> anyhow::Result<Config> {
    let name = name_of(&args.config);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        anyhow!("{name}:{line}:{column}: not UTF-8")
    })?;
    let kernel = tracefs.map(|tracefs| Live::new(tracefs, facts.clone(), Wishes::default()));
    let config = config::read(text, kernel.as_ref());
    config.map_err(|problems| {
        let count = problems.problems.len();
        let errors = if count == 1 { "error" } else { "errors" };
        anyhow!("{count} {errors} in {name}\n{}", problems.render(&name, text))
    })
}

fn metrics(count: usize) -> String {
    format!("{count} {}", if count == 1 { "metric" } else { "metrics" })
}

/// Attaches, listens, and answers until a signal ends it.
async fn serve(
    (args, bytes): (&ServeArgs, &[u8]),
    (addresses, user): (&[SocketAddr], Option<User>),
    mut signals: Signals,
    (manager, ready_fd): (Notifier, Option<ReadyFd>),
) -> anyhow::Result<()> {
    check_privilege(&status()?)?;
    let tracefs = find_or_mount()?;
    let facts = Rc::new(Facts::read()?);
    let config = read(args, bytes, Some(tracefs.clone()), &facts)?;
    // Before anything is attached: whoever starts it twice shall not count twice.
    let listener = listen(addresses).with_context(|| cannot_listen(&args.listen))?;
    let address = listener.local_addr().context("cannot tell where it listens")?;
    let started = tokio::select! {
        biased;
        () = signals.stop() => return Ok(()),
        engine = Engine::start(config, tracefs.clone(), &facts) => engine,
    };
    let engine = started?;
    let symbols = engine.shows_symbols();
    drop_privileges(Privileges { reload: !args.no_reload, symbols }, user, facts.release())?;
    engine.uncounted().iter().for_each(|line| say(line));
    let status = format!("{} on http://{address}/metrics", metrics(engine.n_metrics()));
    say(&format!("serving {status}"));
    manager.ready(&status);
    ready_fd.map_or(Ok(()), ReadyFd::ready).context("cannot write to --ready-fd")?;
    let server = Server { args, manager, tracefs, address, engine: Rc::new(RefCell::new(engine)) };
    server.until_stopped(listener, signals).await;
    Ok(())
}

/// A socket at the first address that is free.
fn listen(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    /// Connections that wait until they are accepted.
    const BACKLOG: i32 = 1024;
    let listener = net::TcpListener::bind(addresses)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Each metric takes some files, and the usual limit is 1024 for the sake of programs that use
/// select(2).
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        log::debug!("the limit on open files stays: {error}");
    }
}

fn cannot_listen(address: &str) -> String {
    format!("cannot listen on {address}; --listen ADDRESS:PORT names another place")
}

/// All that a reload needs.
struct Server<'a> {
    args: &'a ServeArgs,
    manager: Notifier,
    tracefs: Tracefs,
    address: SocketAddr,
    engine: Rc<RefCell<Engine>>,
}

impl Server<'_> {
    async fn until_stopped(&self, listener: TcpListener, mut signals: Signals) {
        let looks = tokio::task::spawn_local(look_after(self.engine.clone()));
        let mut is_stopping = false;
        let stop = async || {
            while signals.next().await == Wish::Reload && !self.args.no_reload {
                // What ends is not changed any more.
                if !is_stopping {
                    self.reload();
                }
            }
            if !std::mem::replace(&mut is_stopping, true) {
                self.manager.stopping();
                // Whoever is still answered gets what does not change any more.
                self.engine.borrow_mut().stop();
            }
        };
        serve::serve(listener, self.engine.clone(), stop).await;
        looks.abort();
    }

    /// A file that is wrong changes nothing.
    fn reload(&self) {
        self.manager.reloading();
        let name = name_of(&self.args.config);
        match self.replace() {
            Ok(Changes { kept, added, removed }) => {
                say(&format!(
                    "{name} was read again: {kept} kept, {added} added, {removed} removed"
                ));
                self.engine.borrow().uncounted().iter().for_each(|line| say(line));
            }
            Err(error) => {
                self.engine.borrow_mut().reload_failed();
                say(&format!("error: {}\nall metrics go on as before", super::message(&error)));
            }
        }
        let count = self.engine.borrow().n_metrics();
        self.manager.ready(&format!("{} on http://{}/metrics", metrics(count), self.address));
    }

    fn replace(&self) -> anyhow::Result<Changes> {
        // Modules, and with them names and addresses, may have come and gone.
        let facts = Rc::new(Facts::read()?);
        let bytes = bytes_of(&self.args.config, input::read_soon)?;
        let config = read(self.args, &bytes, Some(self.tracefs.clone()), &facts)?;
        Ok(self.engine.borrow_mut().reload(config, &facts)?)
    }
}

/// How long nobody looks at tables of which none can be full.
const NO_LOOK: Duration = Duration::from_secs(5);
/// After a look nobody looks for so many times as long as it took, however many tables are due: a
/// tenth of the time is the most that looks take.
const REST: u32 = 9;

/// Keeps tables from being full for long.
async fn look_after(engine: Rc<RefCell<Engine>>) {
    loop {
        let due = engine.borrow().next_look();
        let Some(due) = due else {
            time::sleep(NO_LOOK).await;
            continue;
        };
        time::sleep_until(due.into()).await;
        let start = Instant::now();
        engine.borrow_mut().look();
        time::sleep(start.elapsed() * REST).await;
    }
}

/// The signals that the server listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// SIGTERM or Ctrl-C.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or Ctrl-C. What else comes is kept.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}
