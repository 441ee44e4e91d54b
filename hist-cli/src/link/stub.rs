//! The program that is attached in the place of two that take turns: it goes on to the one in the
//! first slot of the counting program's map of programs.

use super::error::LinkError;
use super::fill::Program;
use super::fixed::{self, Fixed};
use super::template::{MapDef, Target};
use crate::plan::map::Role;

/// What it is called.
const NAME: &str = "hist_stub";

impl Program {
    /// The map of programs that this one passes hits on to, if it does.
    #[must_use]
    pub fn slots(&self) -> Option<&MapDef> {
        self.maps.iter().find(|map| map.id.role == Role::Slots)
    }
}

/// The stub. `main` is the program that counts: they share its slots.
///
/// # Errors
/// If `main` has no slots.
pub fn stub(main: &Program) -> Result<Program, LinkError> {
    let slots = main.slots();
    let slots = slots.ok_or_else(|| LinkError::Template("it has no map of programs".to_owned()))?;
    let mut stub = fixed::program(Fixed::Stub, NAME)?;
    for reference in &mut stub.references {
        if let Target::Map(map) = &mut reference.target {
            *map = slots.id;
        }
    }
    stub.maps = vec![slots.clone()];
    stub.section.clone_from(&main.section);
    Ok(stub)
}
