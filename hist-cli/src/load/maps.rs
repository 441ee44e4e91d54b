//! Opens the maps and variables that linked programs declare, and loads the programs with them.
//!
//! aya makes them: it knows their attributes and the limit on locked memory that kernels before
//! 5.11 have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::maps::{MapData, MapError};
use aya_obj::generated::bpf_map_type::{BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_RINGBUF};

use super::LoadError;
use super::outside::{Outside, missing};
use super::program::{self, ProgramType};
use crate::link::{DataSection, MapDef, Program};
use crate::plan::map::{MapId, Role};
use crate::sys::bpf::RawMap;

/// `BPF_F_RDONLY_PROG` in Linux include/uapi/linux/bpf.h.
const READ_ONLY_TO_PROGRAMS: u32 = 1 << 7;

/// What programs log has room for (bytes) until it is read; it is read every 50 ms. An event takes
/// some 200 bytes.
const LOG_SIZE: u32 = 16 << 20;

/// The maps of one object that are open but not yet part of a trigger.
#[derive(Default)]
pub(super) struct OpenMaps {
    maps: HashMap<MapId, MapData>,
    /// By the section's name.
    data: HashMap<String, MapData>,
}

impl OpenMaps {
    /// Opens what `program` declares and loads it: maps that `elsewhere` has are taken from there, and
    /// those that are open already stay. `event` is for errors.
    ///
    /// # Errors
    /// If the kernel refuses a map or the program.
    pub(super) fn load<'fd>(
        &mut self,
        program: &Program,
        (program_type, event): (ProgramType, &str),
        elsewhere: impl Fn(Outside<'_>) -> Option<BorrowedFd<'fd>>,
    ) -> Result<OwnedFd, LoadError> {
        self.open(program, |outside| elsewhere(outside).is_some())?;
        let open = |outside: Outside<'_>| elsewhere(outside).or_else(|| self.fd(outside));
        program::load(program, program_type, event, open)
    }

    /// Opens what `program` declares, but for what is open already: programs of one object share
    /// maps and constants. Leaves out what is `elsewhere`.
    fn open(
        &mut self,
        program: &Program,
        elsewhere: impl Fn(Outside<'_>) -> bool,
    ) -> Result<(), LoadError> {
        for def in program.maps.iter().filter(|def| !elsewhere(Outside::Map(def.id))) {
            if let Entry::Vacant(place) = self.maps.entry(def.id) {
                place.insert(create(def)?);
            }
        }
        for section in &program.data {
            let is_open = self.data.contains_key(&section.name);
            if !is_open && !elsewhere(Outside::Data(&section.name)) {
                self.data.insert(section.name.clone(), create_data(section)?);
            }
        }
        Ok(())
    }

    /// What is open and has not been taken.
    pub(super) fn fd(&self, outside: Outside<'_>) -> Option<BorrowedFd<'_>> {
        let map = match outside {
            Outside::Map(map) => self.maps.get(&map),
            Outside::Data(section) => self.data.get(section),
        };
        map.map(|map| map.fd().as_fd())
    }

    /// Hands out the program's own map for `role`.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn take(&mut self, program: &Program, role: Role) -> Result<MapData, LoadError> {
        let map = program.own(role).and_then(|map| self.maps.remove(&map));
        map.ok_or_else(|| missing(MapId::own(role).name()))
    }
}

/// Makes a map.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn create(def: &MapDef) -> Result<MapData, LoadError> {
    if def.map_type != BPF_MAP_TYPE_RINGBUF as u32 {
        return create_of_size(&def.id.name(), def, def.max_entries);
    }
    // A ring buffer is whole pages, and they are not the same size everywhere. Both numbers are
    // powers of two. Where there is no memory for a large one, events are lost sooner, and the loss is
    // reported.
    let least = def.max_entries.max(rustix::param::page_size() as u32);
    let name = def.id.name();
    create_of_size(&name, def, least.max(LOG_SIZE)).or_else(|_| create_of_size(&name, def, least))
}

fn create_of_size(name: &str, def: &MapDef, max_entries: u32) -> Result<MapData, LoadError> {
    let map = aya_obj::Map::new_from_params(
        def.map_type,
        def.key_size,
        def.value_size,
        max_entries,
        def.map_flags,
    );
    MapData::create(map, name, None).map_err(map_error)
}

/// An array of one element, which is the whole section.
fn create_data(section: &DataSection) -> Result<MapData, LoadError> {
    let map_flags = if section.is_read_only() { READ_ONLY_TO_PROGRAMS } else { 0 };
    let size = u32::try_from(section.bytes.len())
        .map_err(|_| LoadError::Internal(format!("{} is too large", section.name)))?;
    let array = aya_obj::Map::new_from_params(BPF_MAP_TYPE_ARRAY as u32, 4, size, 1, map_flags);
    let data = MapData::create(array, &section.name, None).map_err(map_error)?;
    let map = RawMap { fd: data.fd().as_fd(), key_size: 4, value_size: section.bytes.len() };
    let failed = |source| LoadError::Map { name: section.name.clone(), source };
    if !section.is_bss() {
        map.update(&0u32.to_ne_bytes(), &section.bytes).map_err(failed)?;
    }
    if section.is_read_only() {
        map.freeze().map_err(failed)?;
    }
    Ok(data)
}

fn map_error(error: MapError) -> LoadError {
    match error {
        MapError::CreateError { io_error, .. } if io_error.raw_os_error() == Some(libc::ENOSYS) => {
            LoadError::NoBpf
        }
        MapError::CreateError { name, io_error } => LoadError::Map { name, source: io_error },
        error => LoadError::Internal(error.to_string()),
    }
}
