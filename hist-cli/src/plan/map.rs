//! The maps that programs use, by whose they are and what they are for, so that one program can use
//! several of the same kind.

use hist_common::focus::{MAP_PROCESSES, MAP_STATE};
use hist_common::layout::{MAP_HIST, MAP_LOSSES, MAP_SCRATCH, MAP_SLOTS, MAP_SPILL};
use hist_common::sentinel::MAP_BALANCE;

use super::focus::FocusMap;

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The entries of a histogram.
    Hist,
    /// A per-CPU array holding one [`hist_common::layout::Losses`].
    Losses,
    /// Where large keys are built.
    Scratch,
    /// An array of the programs that others go on to.
    Slots,
    /// The ring buffer of the logging template, which aya-log reads.
    Log,
    /// The balances of a sentinel.
    Balance,
    /// What whose events are counted depends on.
    Focus(FocusMap),
}

/// Whose a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The trigger's whose program or code it is. In a linked program it has become a number.
    Own,
    /// That trigger's, by its number among those that are linked together.
    Trigger(usize),
    /// All programs share it.
    Shared,
}

/// A map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId {
    /// Whose it is.
    pub owner: Owner,
    /// What it is for.
    pub role: Role,
}

/// The name that aya-log looks for.
const MAP_LOGS: &str = "AYA_LOGS";

impl MapId {
    /// The trigger's own map.
    #[must_use]
    pub const fn own(role: Role) -> Self {
        Self { owner: Owner::Own, role }
    }

    /// The map of the trigger of that number.
    #[must_use]
    pub const fn of_trigger(number: usize, role: Role) -> Self {
        Self { owner: Owner::Trigger(number), role }
    }

    /// The map that all programs share.
    #[must_use]
    pub const fn shared(role: Role) -> Self {
        Self { owner: Owner::Shared, role }
    }

    /// The map of that name in a compiled object; `None` if there is no such one.
    #[must_use]
    pub fn in_template(name: &str) -> Option<Self> {
        Some(match name {
            MAP_HIST => Self::own(Role::Hist),
            MAP_LOSSES => Self::own(Role::Losses),
            MAP_SCRATCH => Self::own(Role::Scratch),
            MAP_SPILL | MAP_SLOTS => Self::own(Role::Slots),
            MAP_LOGS => Self::shared(Role::Log),
            MAP_BALANCE => Self::shared(Role::Balance),
            MAP_PROCESSES => Self::shared(Role::Focus(FocusMap::Processes)),
            MAP_STATE => Self::shared(Role::Focus(FocusMap::State)),
            _ => return None,
        })
    }

    /// The same once it is known which number the trigger has.
    #[must_use]
    pub fn numbered(self, number: usize) -> Self {
        match self.owner {
            Owner::Own => Self::of_trigger(number, self.role),
            Owner::Trigger(_) | Owner::Shared => self,
        }
    }

    /// What it is called in the kernel, in objects and in listings.
    #[must_use]
    pub fn name(self) -> String {
        let role = match self.role {
            Role::Hist => MAP_HIST,
            Role::Losses => MAP_LOSSES,
            Role::Scratch => MAP_SCRATCH,
            Role::Slots => MAP_SPILL,
            Role::Log => MAP_LOGS,
            Role::Balance => MAP_BALANCE,
            Role::Focus(map) => map.name(),
        };
        match self.owner {
            Owner::Trigger(number) => format!("{role}{number}"),
            Owner::Own | Owner::Shared => role.to_owned(),
        }
    }
}
