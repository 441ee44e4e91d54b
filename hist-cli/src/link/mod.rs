//! Makes programs of templates and generated code: an [`Object`] has those of all triggers, and on
//! demand one ELF with them that aya's loader takes. What runs is linked by
//! [`pipeline::link`](crate::pipeline::link).
//!
//! A template is a compiled program in which calls to undefined functions, *holes*, stand for
//! what depends on the trigger. Linking puts the generated bodies in their place, gives the
//! histogram's map its real sizes, and every program and map a name of its own.

mod elf;
mod error;
mod fill;
mod fixed;
mod listing;
mod stub;
mod template;

pub use error::LinkError;
pub use fill::{Program, ProgramLine, fill};
pub use fixed::{Fixed, named as named_program, programs as fixed_programs};
pub use stub::stub;
pub use template::{DataSection, DataSymbol, HoleRoom, MapDef, Reference, Target, TemplateObject};

use crate::codegen::code::Code;
use crate::plan::{Plan, Template};

/// What the loader takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// One per trigger, in the order given.
    pub programs: Vec<Program>,
}

impl Object {
    /// The ELF file. Our own loader takes the programs as they are.
    ///
    /// # Errors
    /// When two programs bring different maps, data or licences of one name.
    pub fn elf(&self) -> Result<Vec<u8>, LinkError> {
        elf::write(&self.programs)
    }
}

/// Links triggers that start together. Their programs are as the templates have them: what they
/// need not do goes when they are optimized, and only then does every stack fit.
///
/// # Errors
/// When a body breaks the hole ABI, a body is too large for the stack, a jump too long, or an
/// embedded template is damaged.
pub(crate) fn link(triggers: &[(&Plan, &Code)]) -> Result<Object, LinkError> {
    let programs = triggers
        .iter()
        .enumerate()
        .map(|(index, (plan, code))| program(plan, code, index))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Object { programs })
}

/// The program of one trigger.
fn program(plan: &Plan, code: &Code, index: usize) -> Result<Program, LinkError> {
    let mut program = fill(&template(plan.template)?, &plan.map, code, index)?;
    program.section = plan.attach.section().to_owned();
    Ok(program)
}

/// The parsed template.
///
/// # Errors
/// When the embedded object is damaged.
pub fn template(template: Template) -> Result<TemplateObject, LinkError> {
    template::parse(prebuilt(template))
}

/// The committed object, as `cargo xtask ebpf` builds it.
pub(crate) const fn prebuilt(template: Template) -> &'static [u8] {
    match template {
        Template::Hist => include_bytes!("../../../hist-ebpf/prebuilt/hist.bpf.o"),
        Template::HistLarge => {
            include_bytes!("../../../hist-ebpf/prebuilt/hist_large.bpf.o")
        }
        Template::HistArray => {
            include_bytes!("../../../hist-ebpf/prebuilt/hist_array.bpf.o")
        }
        Template::HistSpill => include_bytes!("../../../hist-ebpf/prebuilt/hist_spill.bpf.o"),
        Template::HistLargeSpill => {
            include_bytes!("../../../hist-ebpf/prebuilt/hist_large_spill.bpf.o")
        }
        Template::HistLog => include_bytes!("../../../hist-ebpf/prebuilt/hist_log.bpf.o"),
    }
}
