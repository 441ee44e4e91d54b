//! The kernel's helper functions that programs call: their numbers (`enum bpf_func_id` in Linux
//! include/uapi/linux/bpf.h), names, and what is known of them.

/// `(map, key) -> value or null`
pub const MAP_LOOKUP_ELEM: i32 = 1;
/// `(map, key, value, flags) -> 0 or -errno`
pub const MAP_UPDATE_ELEM: i32 = 2;
/// `(map, key) -> 0 or -errno`
pub const MAP_DELETE_ELEM: i32 = 3;
/// `() -> ns`, CLOCK_MONOTONIC
pub const KTIME_GET_NS: i32 = 5;
/// `() -> CPU`
pub const GET_SMP_PROCESSOR_ID: i32 = 8;
/// `(ctx, map, index)`: goes on in another program, and returns only if there is none
pub const TAIL_CALL: i32 = 12;
/// `() -> tgid << 32 | pid`
pub const GET_CURRENT_PID_TGID: i32 = 14;
/// `(buf, size) -> 0 or -errno`
pub const GET_CURRENT_COMM: i32 = 16;
/// `(ctx, map, flags, data, size) -> 0 or -errno`
pub const PERF_EVENT_OUTPUT: i32 = 25;
/// `(ctx, map, flags) -> id or -errno`
pub const GET_STACKID: i32 = 27;
/// `() -> task_struct *`
pub const GET_CURRENT_TASK: i32 = 35;
/// `(map, index) -> 1, 0 or -errno`
pub const CURRENT_TASK_UNDER_CGROUP: i32 = 37;
/// `(ctx, buf, size, flags) -> bytes or -errno`
pub const GET_STACK: i32 = 67;
/// `(dst, size, user address) -> 0 or -errno`
pub const PROBE_READ_USER: i32 = 112;
/// `(dst, size, kernel address) -> 0 or -errno`
pub const PROBE_READ_KERNEL: i32 = 113;
/// `(dst, size, user address) -> bytes with NUL or -errno`
pub const PROBE_READ_USER_STR: i32 = 114;
/// `(dst, size, kernel address) -> bytes with NUL or -errno`
pub const PROBE_READ_KERNEL_STR: i32 = 115;
/// `(device, inode, info, size) -> 0 or -errno`; since Linux 5.7
pub const GET_NS_CURRENT_PID_TGID: i32 = 120;
/// `() -> ns`, CLOCK_BOOTTIME
pub const KTIME_GET_BOOT_NS: i32 = 125;
/// `(ringbuf, data, size, flags) -> 0 or -errno`
pub const RINGBUF_OUTPUT: i32 = 130;
/// `(ringbuf, size, flags) -> record or null`
pub const RINGBUF_RESERVE: i32 = 131;
/// `(record, flags)`
pub const RINGBUF_SUBMIT: i32 = 132;
/// `(record, flags)`
pub const RINGBUF_DISCARD: i32 = 133;
/// `() -> task_struct *`, of known type; since Linux 5.11
pub const GET_CURRENT_TASK_BTF: i32 = 158;
/// `(map, key, cpu) -> value or null`
pub const MAP_LOOKUP_PERCPU_ELEM: i32 = 195;
/// `() -> ns`, CLOCK_TAI
pub const KTIME_GET_TAI_NS: i32 = 208;

/// The helper writes to no memory that it is given.
#[must_use]
pub const fn leaves_memory(number: i32) -> bool {
    arguments(number) == 0 || matches!(number, MAP_LOOKUP_ELEM | MAP_UPDATE_ELEM)
}

/// How many arguments the helper takes; five if it is not known.
#[must_use]
pub const fn arguments(number: i32) -> u32 {
    match number {
        KTIME_GET_NS | KTIME_GET_BOOT_NS | KTIME_GET_TAI_NS | GET_SMP_PROCESSOR_ID
        | GET_CURRENT_PID_TGID | GET_CURRENT_TASK => 0,
        MAP_LOOKUP_ELEM | MAP_DELETE_ELEM | GET_CURRENT_COMM | CURRENT_TASK_UNDER_CGROUP => 2,
        TAIL_CALL
        | GET_STACKID
        | PROBE_READ_USER
        | PROBE_READ_KERNEL
        | PROBE_READ_USER_STR
        | PROBE_READ_KERNEL_STR => 3,
        MAP_UPDATE_ELEM | GET_STACK | GET_NS_CURRENT_PID_TGID => 4,
        _ => 5,
    }
}

/// The helper's name, for those that this project calls.
#[must_use]
pub const fn name(number: i32) -> Option<&'static str> {
    Some(match number {
        MAP_LOOKUP_ELEM => "bpf_map_lookup_elem",
        MAP_UPDATE_ELEM => "bpf_map_update_elem",
        MAP_DELETE_ELEM => "bpf_map_delete_elem",
        KTIME_GET_NS => "bpf_ktime_get_ns",
        GET_SMP_PROCESSOR_ID => "bpf_get_smp_processor_id",
        TAIL_CALL => "bpf_tail_call",
        GET_CURRENT_PID_TGID => "bpf_get_current_pid_tgid",
        GET_CURRENT_COMM => "bpf_get_current_comm",
        PERF_EVENT_OUTPUT => "bpf_perf_event_output",
        GET_STACKID => "bpf_get_stackid",
        GET_CURRENT_TASK => "bpf_get_current_task",
        GET_CURRENT_TASK_BTF => "bpf_get_current_task_btf",
        CURRENT_TASK_UNDER_CGROUP => "bpf_current_task_under_cgroup",
        GET_NS_CURRENT_PID_TGID => "bpf_get_ns_current_pid_tgid",
        GET_STACK => "bpf_get_stack",
        PROBE_READ_USER => "bpf_probe_read_user",
        PROBE_READ_KERNEL => "bpf_probe_read_kernel",
        PROBE_READ_USER_STR => "bpf_probe_read_user_str",
        PROBE_READ_KERNEL_STR => "bpf_probe_read_kernel_str",
        KTIME_GET_BOOT_NS => "bpf_ktime_get_boot_ns",
        RINGBUF_OUTPUT => "bpf_ringbuf_output",
        RINGBUF_RESERVE => "bpf_ringbuf_reserve",
        RINGBUF_SUBMIT => "bpf_ringbuf_submit",
        RINGBUF_DISCARD => "bpf_ringbuf_discard",
        MAP_LOOKUP_PERCPU_ELEM => "bpf_map_lookup_percpu_elem",
        KTIME_GET_TAI_NS => "bpf_ktime_get_tai_ns",
        _ => return None,
    })
}
