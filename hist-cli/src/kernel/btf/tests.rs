//! Types that are there are found in made-up BTF, and broken BTF gives an error in time, never a
//! panic.

use hist_test_support::needs;

use super::*;

/// As much of BTF as a test wants: types in order, and their names.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = Vec::new();
        for word in [0x0001_eb9f_u32, 24, 0, types, types, strings] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

const fn info(kind: u32, count: u32, flag: bool) -> u32 {
    (flag as u32) << 31 | kind << 24 | count
}

/// `int __traceiter_hit(void *__data, struct thing *thing, const int n)`
fn small() -> Builder {
    let mut btf = Builder::new();
    let (int, thing, flags, inner, far, n, user, hit, iter) = (
        btf.name("int"),
        btf.name("thing"),
        btf.name("flags"),
        btf.name("inner"),
        btf.name("far"),
        btf.name("n"),
        btf.name("user"),
        btf.name("btf_trace_hit"),
        btf.name("__traceiter_hit"),
    );
    btf.words(&[int, info(types::kind::INT, 0, false), 4, 1 << 24 | 32]); // 1
    btf.words(&[0, info(types::kind::CONST, 0, false), 1]); // 2
    btf.words(&[0, info(types::kind::UNION, 1, false), 4, inner, 1, 0]); // 3
    btf.words(&[user, info(types::kind::TYPE_TAG, 0, false), 1]); // 4
    btf.words(&[0, info(types::kind::PTR, 0, false), 4]); // 5
    btf.words(&[thing, info(types::kind::STRUCT, 3, true), 24]); // 6
    btf.words(&[flags, 1, 3 << 24 | 5]);
    btf.words(&[0, 3, 64]);
    btf.words(&[far, 5, 128]);
    btf.words(&[0, info(types::kind::PTR, 0, false), 6]); // 7
    btf.words(&[0, info(types::kind::PTR, 0, false), 0]); // 8
    btf.words(&[0, info(types::kind::FUNC_PROTO, 3, false), 0]); // 9
    btf.words(&[0, 8, 0, 7, 0, 2]);
    btf.words(&[0, info(types::kind::PTR, 0, false), 9]); // 10
    btf.words(&[hit, info(types::kind::TYPEDEF, 0, false), 10]); // 11
    btf.words(&[0, info(types::kind::FUNC_PROTO, 3, false), 1]); // 12
    btf.words(&[0, 8, thing, 7, n, 2]);
    btf.words(&[iter, info(types::kind::FUNC, 0, false), 12]); // 13
    btf
}

/// Checking 2,000 metrics took 32 s: all names were searched for each.
#[test]
fn many_tracepoints_are_not_searched_one_by_one() {
    let btf = Btf::of_bytes(small().bytes());
    for _ in 0..50 {
        let hit = btf.tracepoint("hit").unwrap().unwrap();
        assert_eq!((hit.id, hit.parameters.len()), (11, 2));
        assert!(btf.tracepoint("miss").unwrap().is_none());
        assert!(btf.tracepoint("").unwrap().is_none());
    }
    let searches = btf.image().unwrap().searches();
    assert!(searches < 20, "{searches} searches for 150 tracepoints");
}

/// Both ways find the same ones in the kernel that runs here.
#[test]
fn the_list_of_tracepoints_has_what_a_search_finds() {
    let names = ["sched_switch", "kmalloc", "sys_enter", "sys_exit", "irq_handler_entry", "none"];
    if !needs::file(Btf::VMLINUX, "BTF") {
        return;
    }
    let list = Image::open(Btf::VMLINUX.as_ref()).unwrap();
    for _ in 0..20 {
        list.tracepoint("sched_switch").unwrap();
    }
    for name in names {
        let search = Image::open(Btf::VMLINUX.as_ref()).unwrap();
        let (listed, searched) = (list.tracepoint(name), search.tracepoint(name));
        assert_eq!(listed.unwrap(), searched.unwrap(), "{name}");
    }
}

#[test]
fn a_tracepoint_and_its_types_are_found() {
    let btf = Btf::of_bytes(small().bytes());
    let hit = btf.tracepoint("hit").unwrap().unwrap();
    let names: Vec<_> = hit.parameters.iter().map(|one| one.name.as_str()).collect();
    assert_eq!((hit.id, &names[..]), (11, &["thing", "n"][..]));
    let int = Type::Integer { size: 4, signed: true, is_bool: false };
    assert_eq!(btf.resolve(hit.parameters[1].type_id), Ok(int));
    assert_eq!(btf.resolve(hit.parameters[0].type_id), Ok(Type::Pointer(6)));
    assert_eq!(btf.resolve(6), Ok(Type::Compound { id: 6, size: 24 }));
    assert_eq!(btf.tracepoint("miss"), Ok(None));
    assert_eq!(btf.name(6).as_deref(), Ok("thing"));
}

#[test]
fn members_are_found_bitfields_and_unnamed_ones_too() {
    let btf = Btf::of_bytes(small().bytes());
    let member = |name| btf.member(6, name).unwrap();
    assert_eq!(member("flags"), Some(Member { bit_offset: 5, bits: Some(3), type_id: 1 }));
    assert_eq!(member("inner"), Some(Member { bit_offset: 64, bits: None, type_id: 1 }));
    assert_eq!(member("nothing"), None);
    assert_eq!(btf.resolve(member("far").unwrap().type_id), Ok(Type::FarPointer));
    assert_eq!(btf.member_names(6).unwrap(), ["flags", "inner", "far"]);
}

#[test]
fn broken_bytes_are_errors() {
    let whole = small().bytes();
    for length in 0..whole.len() {
        let btf = Btf::of_bytes(whole[..length].to_vec());
        // Whatever it says, it must not panic, nor find what was cut off.
        if let Ok(Some(found)) = btf.tracepoint("hit") {
            assert_eq!(found.parameters.len(), 2, "{length}");
        }
    }
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let btf = Btf::of_bytes(bytes);
            if let Ok(Some(found)) = btf.tracepoint("hit") {
                for parameter in found.parameters {
                    let _type = btf.resolve(parameter.type_id);
                }
                let _members = btf.member(6, "inner");
            }
        }
    }
}

#[test]
fn a_type_that_refers_to_itself_is_an_error() {
    let mut btf = Builder::new();
    btf.words(&[0, info(types::kind::CONST, 0, false), 1]);
    let btf = Btf::of_bytes(btf.bytes());
    assert_eq!(btf.resolve(1), Err(BtfError::Broken("a type refers to itself")));
}

/// Structs of `count` unnamed members each; those of the nth are of the type that `next` gives.
fn nested(depth: u32, count: u32, next: impl Fn(u32) -> u32) -> Btf {
    let mut btf = Builder::new();
    for id in 1..=depth {
        btf.words(&[0, info(types::kind::STRUCT, count, false), 8]);
        (0..count).for_each(|_| btf.words(&[0, next(id), 0]));
    }
    Btf::of_bytes(btf.bytes())
}

#[test]
fn a_struct_that_holds_itself_was_searched_for_ever() {
    for (depth, next) in [(1, (|_| 1) as fn(u32) -> u32), (2, |id| 3 - id), (3, |id| id % 3 + 1)] {
        let btf = nested(depth, 1, next);
        let broken = BtfError::Broken("a type refers to itself");
        assert_eq!(btf.member(1, "x"), Err(broken.clone()));
        assert_eq!(btf.member_names(1), Err(broken));
    }
}

#[test]
fn structs_that_hold_the_next_one_twice_were_searched_two_to_the_32_times() {
    let btf = nested(31, 2, |id| (id + 1).min(31));
    for result in [btf.member(1, "x").map(drop), btf.member_names(1).map(drop)] {
        assert_eq!(result, Err(BtfError::Broken("a type refers to itself")));
    }
    // Each ends in a number, so that only the count of members ends it.
    let mut btf = Builder::new();
    for id in 1..=30 {
        btf.words(&[0, info(types::kind::STRUCT, 2, false), 8, 0, id + 1, 0, 0, id + 1, 0]);
    }
    btf.words(&[0, info(types::kind::INT, 0, false), 4, 32]);
    let btf = Btf::of_bytes(btf.bytes());
    assert_eq!(btf.member(1, "x"), Err(BtfError::Broken("a struct has too many members")));
}

#[test]
fn a_struct_of_structs_of_65535_members_took_hours() {
    let mut btf = Builder::new();
    for member_type in [2, 3] {
        btf.words(&[0, info(types::kind::STRUCT, 65535, false), 8]);
        (0..65535).for_each(|_| btf.words(&[0, member_type, 0]));
    }
    btf.words(&[0, info(types::kind::INT, 0, false), 4, 32]);
    let btf = Btf::of_bytes(btf.bytes());
    assert_eq!(btf.member(1, "x"), Err(BtfError::Broken("a struct has too many members")));
}

#[test]
fn offsets_of_members_overflowed() {
    let mut btf = Builder::new();
    let x = btf.name("x");
    btf.words(&[0, info(types::kind::STRUCT, 1, false), 8, 0, 2, u32::MAX - 3]);
    btf.words(&[0, info(types::kind::STRUCT, 1, false), 8, x, 3, 8]);
    btf.words(&[0, info(types::kind::INT, 0, false), 4, 32]);
    let btf = Btf::of_bytes(btf.bytes());
    let far = BtfError::Broken("a member lies too far into its struct");
    assert_eq!(btf.member(1, "x"), Err(far));
}

#[test]
fn a_name_beyond_all_names_was_taken_from_whatever_lies_there() {
    let mut btf = Builder::new();
    btf.words(&[1, info(types::kind::FWD, 0, false), 0]);
    btf.words(&[u32::MAX, info(types::kind::FWD, 0, false), 0]);
    let mut bytes = btf.bytes();
    bytes.extend(b"not a name\0");
    let btf = Btf::of_bytes(bytes);
    let outside = BtfError::Broken("a name lies outside of all names");
    assert_eq!((btf.name(1), btf.name(2)), (Err(outside.clone()), Err(outside)));
}

#[test]
fn an_enumeration_of_4_gib_was_a_number() {
    let mut btf = Builder::new();
    btf.words(&[0, info(types::kind::ENUM, 0, false), u32::MAX]);
    btf.words(&[0, info(types::kind::ENUM64, 0, false), 8]);
    let btf = Btf::of_bytes(btf.bytes());
    assert_eq!(btf.resolve(1), Ok(Type::Other));
    let eight = Type::Integer { size: 8, signed: false, is_bool: false };
    assert_eq!(btf.resolve(2), Ok(eight));
}

#[test]
fn a_kernel_without_btf_says_so() {
    let btf = Btf::at("/no/such/btf");
    let error = btf.tracepoint("hit").expect_err("there is none");
    assert_eq!(error.to_string(), "this kernel has no BTF (/no/such/btf; CONFIG_DEBUG_INFO_BTF)");
}

/// The machine's own, where it has one.
#[test]
fn this_kernels_btf_is_understood() {
    let btf = Btf::at(Btf::VMLINUX);
    let switch = match btf.tracepoint("sched_switch") {
        Err(BtfError::Missing { .. }) => return,
        found => found.unwrap().expect("every kernel has it"),
    };
    let next = switch.parameters.iter().find(|one| one.name == "next").unwrap();
    let Type::Pointer(task) = btf.resolve(next.type_id).unwrap() else { panic!("no pointer") };
    let comm = btf.member(task, "comm").unwrap().expect("a task has a name");
    assert!(matches!(btf.resolve(comm.type_id), Ok(Type::Array { count: 16, .. })));
    assert_eq!(btf.name(task).as_deref(), Ok("task_struct"));
    assert_eq!(btf.tracepoint("no_such_tracepoint"), Ok(None));
}
