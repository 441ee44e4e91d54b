//! Writes the manual pages into a folder, hist-bpf.1 and one for each subcommand, from the same
//! definitions that parse the command line. `cargo xtask man` runs it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Command;
use clap_mangen::Man;

/// Sections that definitions do not have: heads, and lines. A line that begins with a tab is
/// something to type.
struct Page {
    name: &'static str,
    sections: &'static [(&'static str, &'static [&'static str])],
}

const PAGES: [Page; 6] = [
    Page {
        name: "hist-bpf",
        sections: &[
            (
                "EXAMPLES",
                &[
                    "Which functions allocate how much memory, until Ctrl-C:",
                    "\thist-bpf 'hist:keys=call_site.sym:vals=bytes_req:sort=bytes_req' kmem:kmalloc",
                    "Which system calls a command makes, at its end:",
                    "\thist-bpf -i0 'hist:keys=id.syscall:sort=hitcount' raw_syscalls:sys_enter -- make",
                    "The 10 tasks that were woken most in each second, for jq(1):",
                    "\thist-bpf --top 10 --delta -f json 'hist:keys=comm:sort=hitcount.descending' sched:sched_wakeup",
                ],
            ),
            (
                "EXIT STATUS",
                &[
                    "0: done.",
                    "1: an error; nothing is left attached.",
                    "2: the command line is wrong.",
                    "3: events were lost, with --fail-on-loss.",
                    "126, 127: the command may not be executed, or does not exist.",
                    "130: a second Ctrl-C ended it without waiting for whoever reads.",
                    "Any other: that of the command.",
                ],
            ),
            (
                "ENVIRONMENT",
                &[
                    "NO_COLOR: if set and not empty, messages have no colours unless --color says so.",
                ],
            ),
            (
                "FILES",
                &[
                    "/sys/kernel/tracing: the events; mounted if it is not and may be.",
                    "/sys/kernel/btf/vmlinux: the kernel's types, by which raw tracepoints are used.",
                    "/proc/kallsyms: the names of addresses.",
                ],
            ),
            (
                "SEE ALSO",
                &[
                    "hist-bpf-list(1), hist-bpf-explain(1), hist-bpf-merge(1), hist-bpf-serve(1), hist-bpf-completions(1)",
                    "The language of triggers: Documentation/trace/histogram.rst of the Linux kernel.",
                ],
            ),
        ],
    },
    Page {
        name: "hist-bpf-list",
        sections: &[
            (
                "EXAMPLES",
                &[
                    "All events of the scheduler, and of one name in any system:",
                    "\thist-bpf list sched",
                    "\thist-bpf list '*:sys_enter'",
                    "What the fields of an event are good for:",
                    "\thist-bpf list -v kmem:kmalloc",
                ],
            ),
            (
                "EXIT STATUS",
                &[
                    "0: done.",
                    "1: nothing matches, or tracefs cannot be read.",
                    "2: the command line is wrong.",
                ],
            ),
            ("FILES", &["/sys/kernel/tracing/events: the events and their formats."]),
            ("SEE ALSO", &["hist-bpf(1), hist-bpf-explain(1)"]),
        ],
    },
    Page {
        name: "hist-bpf-explain",
        sections: &[
            (
                "EXAMPLES",
                &["\thist-bpf explain 'hist:keys=bytes_req.log2 if bytes_req > 4096' kmem:kmalloc"],
            ),
            (
                "EXIT STATUS",
                &[
                    "0: done.",
                    "1: the trigger or the event is wrong.",
                    "2: the command line is wrong.",
                ],
            ),
            ("FILES", &["/sys/kernel/tracing/events: the events and their formats."]),
            ("SEE ALSO", &["hist-bpf(1), hist-bpf-list(1)"]),
        ],
    },
    Page {
        name: "hist-bpf-merge",
        sections: &[
            ("EXAMPLES", &["\thist-bpf merge -f ftrace monday.json tuesday.json"]),
            (
                "EXIT STATUS",
                &[
                    "0: done.",
                    "1: the snapshots do not fit together.",
                    "2: the command line is wrong.",
                ],
            ),
            ("FILES", &["Snapshots as hist-bpf -f json writes them."]),
            ("SEE ALSO", &["hist-bpf(1)"]),
        ],
    },
    Page {
        name: "hist-bpf-serve",
        sections: &[
            (
                "EXAMPLES",
                &[
                    "\thist-bpf serve --config metrics.toml --check",
                    "\thist-bpf serve --config metrics.toml --listen 127.0.0.1:9435",
                ],
            ),
            ("EXIT STATUS", &["0: done.", "1: an error.", "2: the command line is wrong."]),
            ("FILES", &["The configuration: a table in TOML for each metric."]),
            ("SEE ALSO", &["hist-bpf(1), hist-bpf-explain(1)"]),
        ],
    },
    Page {
        name: "hist-bpf-completions",
        sections: &[
            ("EXAMPLES", &["For this session of bash:", "\tsource <(hist-bpf completions bash)"]),
            ("EXIT STATUS", &["0: done.", "2: the command line is wrong."]),
            ("FILES", &["/usr/share/bash-completion/completions/hist-bpf: where bash looks."]),
            ("SEE ALSO", &["hist-bpf(1), bash(1), zshcompsys(1), fish(1)"]),
        ],
    },
];

/// How the command is written; its definitions leave the words out.
const SYNOPSIS: &str = "\
.SH SYNOPSIS\n\
\\fBhist\\-bpf\\fR [\\fIOPTIONS\\fR] \\fITRIGGER\\fR \\fISYSTEM:EVENT\\fR ... [\\-\\- \\fICOMMAND\\fR ...]\n\
.br\n\
\\fBhist\\-bpf\\fR \\fISUBCOMMAND\\fR [\\fIOPTIONS\\fR] ...\n";

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("the folder for the pages is missing")?;
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Pages have all options, with all that is known of each.
    let everything = |command: Command| command.mut_args(|arg| arg.hide_short_help(false));
    let mut root = everything(hist_cli::cli::definitions());
    root = root.mut_subcommands(everything);
    root.build();
    write(&folder, &root, "hist-bpf")?;
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        write(&folder, command, &format!("hist-bpf-{}", command.get_name()))?;
    }
    Ok(())
}

fn write(folder: &Path, command: &Command, name: &str) -> Result<()> {
    let path = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    render(&mut page, command, name)?;
    fs::write(&path, page).with_context(|| path.display().to_string())
}

fn render(to: &mut Vec<u8>, command: &Command, name: &str) -> io::Result<()> {
    // The release stands where a date would change with every build.
    let (title, version) = (plain(&name.to_uppercase()), env!("CARGO_PKG_VERSION"));
    writeln!(to, ".TH {title} 1 \"\" \"hist\\-bpf {version}\" \"User Commands\"")?;
    let man = Man::new(command.clone());
    man.render_name_section(to)?;
    if name == "hist-bpf" {
        to.write_all(SYNOPSIS.as_bytes())?;
    } else {
        man.render_synopsis_section(to)?;
    }
    man.render_description_section(to)?;
    man.render_options_section(to)?;
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(to)?;
    }
    let page = PAGES.iter().find(|page| page.name == name);
    let page =
        page.ok_or_else(|| io::Error::other(format!("no sections are written for {name}")))?;
    for (head, lines) in page.sections {
        writeln!(to, ".SH \"{head}\"")?;
        for (idx, line) in lines.iter().enumerate() {
            match line.strip_prefix('\t') {
                Some(typed) if idx == 0 => writeln!(to, ".RS 4\n.nf\n{}\n.fi\n.RE", plain(typed))?,
                Some(typed) => writeln!(to, ".PP\n.RS 4\n.nf\n{}\n.fi\n.RE", plain(typed))?,
                None if idx == 0 => writeln!(to, "{}", plain(line))?,
                None => writeln!(to, ".PP\n{}", plain(line))?,
            }
        }
    }
    Ok(())
}

/// Text that roff leaves as it is.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
