//! The core, driven by a scripted world that performs its effects and watches over it.
#![allow(clippy::unwrap_used)]

mod asks;
mod attacks;
mod books;
mod cases;
mod exposure;
mod journal;
mod money;
mod orders;
mod promises;
mod random;
mod sessions;
mod world;
