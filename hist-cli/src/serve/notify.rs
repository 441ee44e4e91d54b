//! Announces that the server is ready, reloads or stops: to systemd, by the protocol of
//! sd_notify(3), and to whoever has given a file descriptor.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::session::since_boot;
use crate::sys::rights::as_user;

/// Where systemd says its socket is: a path or, with `@` in front, an abstract name.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager, if there is one.
pub struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// The service manager that the environment names.
    ///
    /// # Errors
    /// If it names one that cannot be reached.
    pub fn open() -> io::Result<Self> {
        env::var_os(SOCKET_VARIABLE).map(connect).transpose().map(Self)
    }

    /// All metrics count and are served; `status` says so in words.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Another file is read; [`ready`](Self::ready) follows.
    pub fn reloading(&self) {
        let now = since_boot().as_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A manager that does not listen is no reason to stop counting.
    fn send(&self, text: &str) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(text.as_bytes())) {
            log::warn!("cannot tell the service manager: {error}");
        }
    }
}

fn connect(name: OsString) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// A file descriptor that somebody waits at for a line.
pub struct ReadyFd(File);

impl ReadyFd {
    /// A copy of the descriptor `number`, which this process has inherited.
    ///
    /// # Errors
    /// If there is none, or the kernel gives no copy.
    pub fn open(number: i32) -> io::Result<Self> {
        let this = pidfd_open(getpid(), PidfdFlags::empty())?;
        let copy: Result<OwnedFd, _> = pidfd_getfd(&this, number, PidfdGetfdFlags::empty());
        match copy {
            Ok(copy) => Ok(Self(copy.into())),
            // Some containers do not allow the call.
            Err(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS) => {
                let path = format!("/proc/self/fd/{number}");
                Ok(Self(as_user(|| File::options().write(true).open(path))?))
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Says that all metrics count and are served.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub fn ready(mut self) -> io::Result<()> {
        self.0.write_all(b"READY=1\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
    }

    #[test]
    fn messages_reach_paths_and_abstract_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let notifier = Notifier(Some(connect(path.into()).expect("it is there")));
        notifier.ready("2 metrics");
        assert_eq!(received(&manager), "READY=1\nSTATUS=2 metrics");

        let name = format!("hist-bpf-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        let notifier = Notifier(Some(connect(format!("@{name}").into()).expect("it is there")));
        notifier.reloading();
        let text = received(&manager);
        let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a time");
        assert!(time.parse::<u64>().is_ok(), "{text}");
        notifier.stopping();
        assert_eq!(received(&manager), "STOPPING=1");
    }

    #[test]
    fn a_descriptor_gets_one_line() {
        use std::os::fd::AsRawFd as _;
        let (mut reader, writer) = io::pipe().expect("a pipe");
        ReadyFd::open(writer.as_raw_fd()).expect("it is open").ready().expect("a line");
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).expect("a text"), "READY=1\n");
        assert!(ReadyFd::open(987_654).is_err());
    }
}
