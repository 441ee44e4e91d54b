//! Serves what triggers count as metrics over HTTP, as Prometheus reads them.
//!
//! text config→ [`Config`] shape→ [`Shape`] engine→ snapshots metric→ families exposition→ text
//!
//! What is exposed as a counter never goes down: entries that once have a series keep it, and what
//! was summed up as `other` stays there.

mod bucket;
pub mod config;
mod engine;
mod error;
pub mod exposition;
mod http;
pub mod metric;
mod metric_config;
pub mod names;
mod negotiate;
mod notify;
mod own;
mod privilege;
mod series;
pub mod shape;

pub use config::Config;
pub use engine::{Changes, Engine};
pub use error::ServeError;
pub use http::{Site, reply, serve};
pub use metric_config::{MAX_SERIES, MetricConfig};
pub use negotiate::negotiate;
pub use notify::{Notifier, ReadyFd};
pub use privilege::{Privileges, User, drop_privileges};
pub use shape::Shape;
