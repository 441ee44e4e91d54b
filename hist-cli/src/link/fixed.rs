//! The programs that depend on no trigger, read as they were compiled, without holes.

use super::error::LinkError;
use super::fill::{Program, ProgramLine};
use super::template;

/// An object of such programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// What follows processes.
    Focus,
    /// What counts dropped events.
    Sentinel,
    /// What goes on to a program that can be changed while events fire.
    Stub,
}

impl Fixed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Focus, Self::Sentinel, Self::Stub];

    /// The committed object, as `cargo xtask ebpf` builds it.
    const fn prebuilt(self) -> &'static [u8] {
        match self {
            Self::Focus => include_bytes!("../../../hist-ebpf/prebuilt/focus.bpf.o"),
            Self::Sentinel => include_bytes!("../../../hist-ebpf/prebuilt/sentinel.bpf.o"),
            Self::Stub => include_bytes!("../../../hist-ebpf/prebuilt/stub.bpf.o"),
        }
    }
}

/// All programs of an object, in its order. What they share stays shared: nothing has a trigger's
/// number.
///
/// # Errors
/// When the embedded object is damaged, or has holes.
pub fn programs(of: Fixed) -> Result<Vec<Program>, LinkError> {
    template::parse_all(of.prebuilt())?.into_iter().map(Program::fixed).collect()
}

/// The program of that name.
///
/// # Errors
/// As [`programs`], and when there is none.
pub(super) fn program(of: Fixed, name: &str) -> Result<Program, LinkError> {
    named(&programs(of)?, name).cloned()
}

/// That of `programs` which has the name: an object is read once for all that is taken of it.
///
/// # Errors
/// When there is none.
pub fn named<'a>(programs: &'a [Program], name: &str) -> Result<&'a Program, LinkError> {
    let found = programs.iter().find(|program| program.name == name);
    found.ok_or_else(|| LinkError::Template(format!("there is no program `{name}`")))
}

impl Program {
    fn fixed(object: template::TemplateObject) -> Result<Self, LinkError> {
        let holes = object.references.iter().map(|reference| &reference.target);
        if let Some(template::Target::Hole(hole)) =
            holes.into_iter().find(|target| matches!(target, template::Target::Hole(_)))
        {
            return Err(LinkError::NoBody(hole));
        }
        let line = |insn| ProgramLine { insn, hole: None, note: String::new() };
        Ok(Self {
            name: object.program,
            section: object.section,
            lines: object.insns.into_iter().map(line).collect(),
            references: object.references,
            maps: object.maps,
            data: object.data,
            license: object.license,
            stack: object.stack,
            rooms: Vec::new(),
        })
    }

    /// Sets the variable or constant of that name, before the program is loaded.
    ///
    /// # Errors
    /// When it has none of that name and size.
    pub fn set(&mut self, name: &str, bytes: &[u8]) -> Result<(), LinkError> {
        for section in &mut self.data {
            let symbol = section.symbols.iter().find(|symbol| symbol.name == name);
            let Some(symbol) = symbol else { continue };
            let (start, size) = (symbol.offset as usize, symbol.size as usize);
            let place = section.bytes.get_mut(start..start + size);
            if let Some(place) = place.filter(|place| place.len() == bytes.len()) {
                place.copy_from_slice(bytes);
                return Ok(());
            }
        }
        Err(LinkError::Template(format!("it has no `{name}` of {} bytes", bytes.len())))
    }
}

#[cfg(test)]
mod tests {
    use hist_common::focus::{FACTS_SYMBOL, Facts};

    use super::*;

    #[test]
    fn every_object_has_its_programs() {
        let names = |of| {
            let mut names: Vec<_> =
                programs(of).expect("whole").into_iter().map(|program| program.name).collect();
            names.sort();
            names
        };
        let focus = ["focus_exec", "focus_exit", "focus_fork", "focus_fork_raw"];
        assert_eq!(names(Fixed::Focus), focus);
        assert_eq!(names(Fixed::Sentinel), ["watch_called", "watch_ran"]);
        assert_eq!(names(Fixed::Stub), ["hist_stub"]);
        assert!(program(Fixed::Stub, "focus_exec").is_err());
    }

    #[test]
    fn a_constant_is_set_where_it_is_and_nowhere_else() {
        let mut one = program(Fixed::Focus, "focus_exit").expect("whole");
        let before: usize = one.data.iter().map(|section| section.bytes.len()).sum();
        let facts = Facts { task_signal: 0x0102_0304, ..Facts::UNKNOWN };
        one.set(FACTS_SYMBOL, &facts.to_bytes()).expect("it is there");
        let bytes: Vec<_> = one.data.iter().flat_map(|section| section.bytes.clone()).collect();
        assert_eq!(bytes.len(), before);
        assert!(bytes.windows(8).any(|window| window == 0x0102_0304_u64.to_le_bytes()));
        assert!(one.set(FACTS_SYMBOL, &[0; 8]).is_err());
        assert!(one.set("OTHER", &facts.to_bytes()).is_err());
    }
}
