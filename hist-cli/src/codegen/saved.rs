//! The hole's arguments on the stack, while helpers run.

use super::emit::Emitter;
use crate::bpf::insn::{Insn, R1, R10, Reg, Width};

/// The hole's arguments, and where they are kept while helpers run: a call destroys r1 to r5.
#[derive(Default)]
pub(super) struct Saved {
    saved: Vec<(Reg, i16)>,
}

impl Saved {
    /// Saves those of `registers` that are still wanted once a helper has run.
    pub(super) fn save(emitter: &mut Emitter, registers: &[Reg]) -> Self {
        let mut saved = Vec::new();
        for &register in registers {
            let slot = emitter.stack_slot();
            let what = if register == R1 { "context" } else { "pointer" };
            let store = Insn::store_reg(Width::Dw, R10, slot, register);
            emitter.push(store, format!("keep the {what} over calls"));
            saved.push((register, slot));
        }
        Self { saved }
    }

    /// Brings the saved ones back.
    pub(super) fn restore(&self, emitter: &mut Emitter) {
        for &(register, slot) in &self.saved {
            emitter.push(Insn::load(Width::Dw, register, R10, slot), "back after the call");
        }
    }
}
