//! Why no BPF program can be attached to an event, where that is so.

use super::EventName;

/// Why the event cannot be attached, in one sentence; `None` if nothing speaks against it.
///
/// `dynamic_events` is the text of tracefs' file of that name. Each reason was measured on
/// Linux 6.12 and 7.3.
#[must_use]
pub fn refuse_unattachable(event: &EventName, dynamic_events: &str) -> Option<&'static str> {
    if event.system == "ftrace" {
        return Some("the events of ftrace's own tracers take no BPF programs");
    }
    if event.system == "synthetic" {
        return Some("a synthetic event never runs BPF programs, even where it takes them");
    }
    let kind = dynamic_events.lines().find_map(|line| kind(line, event))?;
    match kind {
        'p' | 'r' => Some(
            "it is a kprobe or uprobe event; those run BPF programs of another type, \
             which hist-bpf does not have yet",
        ),
        't' => Some("it is a tracepoint probe, which takes no BPF programs"),
        'f' => Some("it is an fprobe event, which takes no BPF programs"),
        'e' => Some("it is an event probe, which takes no BPF programs"),
        _ => None,
    }
}

/// The first letter of a definition such as `p:kprobes/opened do_sys_open`, if it is that event's.
fn kind(line: &str, event: &EventName) -> Option<char> {
    let definition = line.split_whitespace().next()?;
    let (kind, name) = definition.split_once(':')?;
    let (system, name) = name.split_once('/')?;
    event.is(system, name).then(|| kind.chars().next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_reason() {
        let dynamic = "p:kprobes/opened do_sys_openat2\nr8:kprobes/ret do_exit\n\
                       p:uprobes/main /bin/true:0x1\nt:tracepoints/tp sched_switch\n\
                       f:fprobes/fp vfs_read\ne:eprobes/ep syscalls.sys_enter_openat\n\
                       s:synthetic/lat u64 lat\n";
        for (system, event, part) in [
            ("ftrace", "function", "ftrace's own"),
            ("synthetic", "lat", "synthetic"),
            ("kprobes", "opened", "kprobe"),
            ("kprobes", "ret", "kprobe"),
            ("uprobes", "main", "uprobe"),
            ("tracepoints", "tp", "tracepoint probe"),
            ("fprobes", "fp", "fprobe"),
            ("eprobes", "ep", "event probe"),
        ] {
            let reason = refuse_unattachable(&EventName::new(system, event), dynamic);
            assert!(reason.is_some_and(|reason| reason.contains(part)), "{system}:{event}");
        }
        assert_eq!(refuse_unattachable(&EventName::new("kmem", "kmalloc"), dynamic), None);
        assert_eq!(refuse_unattachable(&EventName::new("kprobes", "open"), dynamic), None);
    }
}
