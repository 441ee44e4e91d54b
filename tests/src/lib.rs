//! Takes nothing. Gives what the suite's engines share.

pub mod model;
