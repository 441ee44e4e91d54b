//! What the tests of all packages share, unit tests among them: whether the machine has what a test
//! needs, and histograms read back from their text.

pub mod needs;
pub mod table;
