//! The words of `hist-bpf serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where metrics are served unless told otherwise: to this machine alone, on a port that Prometheus'
/// list of exporters leaves free and that no connection gets by chance.
const LISTEN: &str = "127.0.0.1:29435";

/// The words of `hist-bpf serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SIGHUP reads the file again: metrics that are in both go on counting, and if it is wrong\n\
                  all go on as before. SIGTERM and Ctrl-C end it. docs/serve.md describes the file."
)]
pub(in crate::cli) struct ServeArgs {
    /// The metrics
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,

    /// Where to listen, as ADDRESS:PORT or NAME:PORT
    #[arg(short, long, value_name = "ADDR", default_value = LISTEN, value_parser = place)]
    pub listen: String,

    /// Say what is wrong with the file, and serve nothing
    #[arg(long)]
    pub check: bool,

    /// Check against the events' formats below this directory instead of the mounted tracefs
    #[arg(long, value_name = "DIR", requires = "check")]
    pub tracefs: Option<PathBuf>,

    /// Write a line to this file descriptor once metrics are served
    #[arg(long, value_name = "FD", conflicts_with = "check")]
    pub ready_fd: Option<u16>,

    /// Become this user once all is attached: a name or number, and a group's
    #[arg(long, value_name = "USER[:GROUP]", conflicts_with = "check")]
    pub user: Option<String>,

    /// Keep no capabilities to read another file with; SIGHUP ends it
    #[arg(long, conflicts_with = "check")]
    pub no_reload: bool,
}

/// An address or a name, and a port; names are looked up later.
fn place(text: &str) -> Result<String, String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let (host, port) = text.rsplit_once(':').ok_or("there is no port; write ADDRESS:PORT")?;
    if port.parse::<u16>().is_err() {
        return Err(format!("`{port}` is no port; ports are numbers up to 65535"));
    }
    if host.is_empty() {
        return Err(format!("for all addresses write [::]{text} or 0.0.0.0{text}"));
    }
    if host.contains(':') {
        return Err(format!("write [{host}]:{port}: an IPv6 address takes brackets"));
    }
    Ok(text.to_owned())
}
