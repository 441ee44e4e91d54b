//! Boots a virtual machine, and returns what its guest program reported and its exit status.
//!
//! The protocol: the guest writes its results to the second serial port, as the last line
//! `EXIT n`, and powers off. The first serial port has the kernel's log. A guest that ends without
//! that line has failed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cargo::target_dir;
use crate::setup::QEMU;

/// A machine to boot.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initramfs image; its `/init` is the guest program.
    pub initramfs: PathBuf,
    /// The guest program's arguments; none may hold white space.
    pub args: Vec<String>,
    /// More words for the kernel itself.
    pub kernel_options: &'static str,
    /// Directory for the log and the results; created, old ones are overwritten.
    pub dir: PathBuf,
    /// How its instructions are run.
    pub accel: Accel,
    /// Virtual nanoseconds equal guest instructions. Implies one CPU and emulation.
    pub icount: bool,
    /// Image of its disk, if it has one.
    pub disk: Option<PathBuf>,
    /// Wall-clock limit.
    pub timeout: Duration,
}

/// How the guest's instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accel {
    /// By the processor.
    Kvm,
    /// By emulation.
    Tcg,
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What the guest wrote, without the `EXIT` line.
    pub results: String,
    /// Its exit status.
    pub status: i32,
}

/// How many CPUs a machine has: more than one, so that sums over CPUs are put to the test.
const CPUS: &str = "3";

/// How much of the kernel's log an error shows, in lines.
const TAIL: usize = 25;

/// Boots the machine and waits until it is off.
///
/// # Errors
/// When QEMU fails, the time is over or the guest ends without its `EXIT` line; the message has the
/// end of the kernel's log.
pub(crate) fn boot(machine: &Machine) -> Result<Outcome> {
    fs::create_dir_all(&machine.dir)?;
    for file in ["console.log", "results.txt", "qemu.log"] {
        fs::write(machine.dir.join(file), "")?;
    }
    let log = fs::File::create(machine.dir.join("qemu.log"))?;
    let mut child = command(machine)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {QEMU}"))?;
    let ended = wait(&mut child, machine.timeout)?;
    let outcome = read_results(&machine.dir)?;
    match (ended, outcome) {
        (_, Some(outcome)) => Ok(outcome),
        (true, None) => bail!("the guest ended without an EXIT line\n{}", tails(&machine.dir)?),
        (false, None) => {
            bail!("no EXIT line after {:?}, killed\n{}", machine.timeout, tails(&machine.dir)?)
        }
    }
}

fn command(machine: &Machine) -> Command {
    let mut qemu = Command::new(QEMU);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"])
        .args(["-no-reboot", "-m", "1024"])
        .arg("-kernel")
        .arg(&machine.kernel)
        .arg("-initrd")
        .arg(&machine.initramfs)
        .arg("-append")
        .arg(kernel_command_line(machine))
        .arg("-serial")
        .arg(format!("file:{}", machine.dir.join("console.log").display()))
        .arg("-serial")
        .arg(format!("file:{}", machine.dir.join("results.txt").display()));
    if let Some(disk) = &machine.disk {
        // The kernels have the driver of NVMe built in.
        qemu.arg("-drive")
            .arg(format!("file={},if=none,id=disk,format=raw,cache=unsafe", disk.display()))
            .args(["-device", "nvme,drive=disk,serial=disk"]);
    }
    match (machine.icount, machine.accel) {
        (true, _) => {
            qemu.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-icount", "shift=0,sleep=off"])
        }
        (false, Accel::Tcg) => qemu.args(["-accel", "tcg", "-cpu", "max", "-smp", CPUS]),
        (false, Accel::Kvm) => qemu.args(["-accel", "kvm", "-cpu", "host", "-smp", CPUS]),
    };
    qemu
}

/// The kernel gives its first program what stands behind `--`. `panic=-1` ends the machine at once
/// if that program dies.
fn kernel_command_line(machine: &Machine) -> String {
    let Machine { args, kernel_options, .. } = machine;
    format!("console=ttyS0 panic=-1 mitigations=off {kernel_options} -- {}", args.join(" "))
}

/// Whether it ended by itself in time; it has ended in any case.
fn wait(child: &mut Child, timeout: Duration) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < timeout {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}

fn read_results(dir: &Path) -> Result<Option<Outcome>> {
    let bytes = fs::read(dir.join("results.txt"))?;
    Ok(parse_results(&String::from_utf8_lossy(&bytes)))
}

fn parse_results(text: &str) -> Option<Outcome> {
    let (results, last) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let status = last.strip_prefix("EXIT ")?.parse().ok()?;
    Some(Outcome { results: format!("{results}\n"), status })
}

/// The ends of all that the machine left behind.
fn tails(dir: &Path) -> Result<String> {
    let mut text = String::new();
    for file in ["qemu.log", "console.log", "results.txt"] {
        let reader = BufReader::new(fs::File::open(dir.join(file))?);
        let lines: Vec<String> = reader
            .split(b'\n')
            .map(|line| Ok(String::from_utf8_lossy(&line?).trim_end().to_owned()))
            .collect::<Result<_>>()?;
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        text += &format!("--- end of {}\n{}\n", dir.join(file).display(), tail.join("\n"));
    }
    Ok(text)
}

/// KVM where it works, else emulation. A `/dev/kvm` that opens may still be unable to run anything
/// (nested machines), so five instructions are run in it.
///
/// # Errors
/// When QEMU cannot be started.
pub(crate) fn best_accel() -> Result<Accel> {
    /// Size of the probe's ROM, in bytes: the smallest that QEMU maps below 4 GiB.
    const ROM: usize = 0x1_0000;
    /// Where an x86 processor starts, from the end of memory.
    const RESET_VECTOR: usize = ROM - 16;
    /// `mov al, 3; out 0xf4, al; hlt`
    const CODE: [u8; 5] = [0xb0, 3, 0xe6, 0xf4, 0xf4];
    /// isa-debug-exit ends QEMU with `value << 1 | 1`.
    const EXIT: i32 = 7;

    if !Path::new("/dev/kvm").exists() {
        return Ok(Accel::Tcg);
    }
    let mut rom = vec![0xf4; ROM];
    rom[RESET_VECTOR..RESET_VECTOR + CODE.len()].copy_from_slice(&CODE);
    let dir = target_dir().join("vm");
    fs::create_dir_all(&dir)?;
    let path = dir.join("kvm-probe.rom");
    fs::write(&path, rom)?;
    let mut child = Command::new(QEMU)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "16"])
        .args(["-accel", "kvm", "-cpu", "host", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .arg("-bios")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {QEMU}"))?;
    let in_time = wait(&mut child, Duration::from_secs(10))?;
    let works = in_time && child.wait()?.code() == Some(EXIT);
    Ok(if works { Accel::Kvm } else { Accel::Tcg })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_need_their_last_line() {
        let outcome = parse_results("PASS a\nEXIT 1\n").unwrap();
        assert_eq!(outcome, Outcome { results: "PASS a\n".into(), status: 1 });
        assert_eq!(parse_results("PASS a\n"), None);
        assert_eq!(parse_results("PASS a\nEXIT 1"), None);
        assert_eq!(parse_results("PASS a\nEXIT\n"), None);
    }
}
