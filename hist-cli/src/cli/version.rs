//! What `--version` says beyond the number: the templates, and what the running kernel offers that
//! changes how events are counted.

use crate::kernel;
use crate::kernel::features::Features;
use crate::kernel::features::Found;
use crate::link;
use crate::plan::Template;

/// The number, the templates, and what the kernel offers.
pub(super) fn long() -> String {
    let release = kernel::facts::release();
    let Features { btf, raw_tracepoints, batches } = Features::find();
    format!(
        "{}\ntemplates {:016x}: {}\nkernel {release}: BTF {}, raw tracepoints {}, batch look-up {}",
        env!("CARGO_PKG_VERSION"),
        hash(Template::ALL.into_iter().flat_map(link::prebuilt)),
        sizes(),
        word(btf),
        word(raw_tracepoints),
        word(batches)
    )
}

fn sizes() -> String {
    let size = |template: Template| format!("{template} {} bytes", link::prebuilt(template).len());
    Template::ALL.map(size).join(", ")
}

const fn word(found: Found) -> &'static str {
    match found {
        Found::Yes => "yes",
        Found::No => "no",
        Found::NotAllowed => "not known without CAP_BPF",
        Found::NotKnown => "not known for lack of memory or open files",
    }
}

/// FNV-1a with 64 bits (RFC 9923): tells builds apart, and protects from nothing.
fn hash<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn hashes_are_fnv_1a() {
        assert_eq!(hash(b"".iter()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a".iter()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar".iter()), 0x8594_4171_f739_67e8);
    }
}
