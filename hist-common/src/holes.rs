//! The symbols that templates leave undefined ("holes") and that user space fills with generated
//! code.
//!
//! Hole ABI: arguments in r1 to r5, result in r0, scratch r0 to r5; r6 to r9 belong to the
//! template. `exit` in a body means "go on after the hole". A body that needs stack uses slots
//! below the template's deepest r10 offset.

/// `fn(ctx) -> u64`: 0 when the event is to be ignored.
pub const FILTER: &str = "hist_hole_filter";
/// `fn(ctx, key: *mut u8)`: writes all `key_size` bytes of the key, padding included.
pub const KEY: &str = "hist_hole_key";
/// `fn(ctx) -> u64`: the number of the key's entry, where keys are so few that each has one.
pub const INDEX: &str = "hist_hole_index";
/// `fn(ctx, value: *mut u8)`: adds this hit to an existing value, in place.
pub const UPDATE: &str = "hist_hole_update";
/// `fn(ctx, value: *mut u8)`: writes all `value_size` bytes of the value of a first hit.
pub const INIT: &str = "hist_hole_init";

/// Every hole, in the order in which an event meets them. No template has all of them: the entry
/// is found by key or by number.
pub const ALL: [&str; 5] = [FILTER, KEY, INDEX, UPDATE, INIT];
