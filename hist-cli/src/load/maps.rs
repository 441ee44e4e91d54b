//! Takes the maps and variables that a linked program declares. Gives them as open maps.
//!
//! aya makes them: it knows their attributes and the limit on locked memory that kernels before
//! 5.11 have.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{MapData, MapError};
use aya_obj::generated::bpf_map_type::{BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_RINGBUF};

use super::LoadError;
use crate::link::{DataSection, MapDef, Program};
use crate::sys::bpf::RawMap;

/// `BPF_F_RDONLY_PROG` in Linux include/uapi/linux/bpf.h.
const READ_ONLY_TO_PROGRAMS: u32 = 1 << 7;

/// What programs log has room for (bytes) until it is read; it is read every 50 ms. An event takes
/// some 200 bytes.
const LOG_SIZE: u32 = 16 << 20;

/// The maps of one object that are open but not yet part of a trigger, by name.
#[derive(Default)]
pub(super) struct OpenMaps(HashMap<String, MapData>);

impl OpenMaps {
    /// Opens what `program` declares, but for what is open already: programs of one object share
    /// maps and constants of one name. Leaves out those for which `elsewhere` is true.
    ///
    /// # Errors
    /// If the kernel refuses a map.
    pub(super) fn open(
        &mut self,
        program: &Program,
        elsewhere: impl Fn(&str) -> bool,
    ) -> Result<(), LoadError> {
        for def in program.maps.iter().filter(|def| !elsewhere(&def.name)) {
            if !self.0.contains_key(&def.name) {
                self.0.insert(def.name.clone(), create(def)?);
            }
        }
        for section in program.data.iter().filter(|section| !elsewhere(&section.name)) {
            if !self.0.contains_key(&section.name) {
                self.0.insert(section.name.clone(), create_data(section)?);
            }
        }
        Ok(())
    }

    /// The map of that name, if it is open and has not been taken.
    pub(super) fn fd(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.0.get(name).map(|map| map.fd().as_fd())
    }

    /// Hands out the map of that name.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn take(&mut self, name: &str) -> Result<MapData, LoadError> {
        self.0.remove(name).ok_or_else(|| missing(name))
    }
}

/// The linked object refers to something that it does not have.
pub(super) fn missing(name: &str) -> LoadError {
    LoadError::Internal(format!("the linked object has no {name}"))
}

/// Makes a map.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn create(def: &MapDef) -> Result<MapData, LoadError> {
    if def.map_type != BPF_MAP_TYPE_RINGBUF as u32 {
        return create_of_size(def, def.max_entries);
    }
    // A ring buffer is whole pages, and they are not the same size everywhere. Both numbers are
    // powers of two. Where there is no memory for a large one, events are lost sooner, and the loss is reported.
    let least = def.max_entries.max(rustix::param::page_size() as u32);
    create_of_size(def, least.max(LOG_SIZE)).or_else(|_| create_of_size(def, least))
}

fn create_of_size(def: &MapDef, max_entries: u32) -> Result<MapData, LoadError> {
    let map = aya_obj::Map::new_from_params(
        def.map_type,
        def.key_size,
        def.value_size,
        max_entries,
        def.map_flags,
    );
    MapData::create(map, &def.name, None).map_err(map_error)
}

/// An array of one element, which is the whole section.
fn create_data(section: &DataSection) -> Result<MapData, LoadError> {
    let map_flags = if section.is_read_only() { READ_ONLY_TO_PROGRAMS } else { 0 };
    let data = create(&MapDef {
        name: section.name.clone(),
        map_type: BPF_MAP_TYPE_ARRAY as u32,
        key_size: 4,
        value_size: u32::try_from(section.bytes.len())
            .map_err(|_| LoadError::Internal(format!("{} is too large", section.name)))?,
        max_entries: 1,
        map_flags,
    })?;
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
