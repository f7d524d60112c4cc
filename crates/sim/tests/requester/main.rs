//! The requester's service with a real chain, real providers and real programs, in one process.
#![allow(clippy::unwrap_used)]

mod games;
mod jobs;
mod place;
