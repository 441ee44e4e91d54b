//! What everything that counts looks like to the differential test: an [`Engine`] is given triggers
//! on events, and prints histograms.

use anyhow::{Result, bail};
use hist_cli::plan::AttachWish;

use crate::bpf::Bpf;
use crate::ftrace::Ftrace;
use crate::version::Version;

/// What an engine is asked to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The event's system.
    pub system: String,
    /// The event's name.
    pub event: String,
    /// The trigger, as written to a `trigger` file.
    pub trigger: String,
}

/// Something that counts.
pub trait Engine {
    /// Starts counting all of them at once. A request that is refused must not keep the others from
    /// counting; [`Engine::stop`] has its error.
    ///
    /// # Errors
    /// When nothing at all can be counted.
    fn start(&mut self, requests: &[Request]) -> Result<()>;

    /// Ends counting. Gives for each request, in order, the text that `hist` would have with that
    /// trigger alone: from `# event histogram` to the `Dropped:` line.
    fn stop(&mut self) -> Vec<Result<String>>;
}

/// The engine of that name, for a kernel of `version`. `bpf` is ours, as users run it;
/// `tracepoint` is ours with programs that see the record, whatever they use of it; `kernel` is this kernel's own
/// hist triggers, in an instance of their own.
///
/// # Errors
/// When there is none of that name or it does not work here.
pub fn by_name(name: &str, version: Version) -> Result<Box<dyn Engine>> {
    match name {
        "bpf" => Ok(Box::new(Bpf::new(version, AttachWish::Auto)?)),
        "tracepoint" => Ok(Box::new(Bpf::new(version, AttachWish::Tracepoint)?)),
        "kernel" => Ok(Box::new(Ftrace::instance("reference")?)),
        _ => bail!("no engine `{name}`: known are `bpf`, `tracepoint` and `kernel`"),
    }
}
