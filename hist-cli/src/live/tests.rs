//! Takes tables that are made up, and keys. Gives verdicts on the state and on whole screens.
