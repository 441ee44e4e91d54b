//! What the tests of all packages share, unit tests among them: whether the machine has what a test
//! needs, and histograms read back from their text.
//!
//! # Random tests
//!
//! proptest keeps the seed of a case that has failed, and tries it first from then on: in
//! `proptest-regressions/` of the package for unit tests, beside the source with the ending
//! `.proptest-regressions` for those in a folder `tests/`. Such a file is to be committed with the
//! correction. Where the file is lost, as in CI, the output of the failed test has the line for it,
//! `cc` and a number. A test that makes a `TestRunner` itself must name its source for that:
//! `Config { source_file: Some(file!()), ..Config::default() }`.

pub mod needs;
pub mod table;
