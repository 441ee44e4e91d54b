//! Takes a [`Trigger`](crate::parse::ast::Trigger) and the event's
//! [`EventFormat`](crate::tracefs::format::EventFormat). Gives a [`hist::Hist`]: only meaning,
//! every name bound and typed.

pub mod hist;
