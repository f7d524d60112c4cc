//! Jobs as commands see them: which one is meant, the process in the background that holds it, its
//! story, its results.

pub mod background;
pub mod find;
pub mod follow;
pub mod quote;
pub mod report;
pub mod results;
pub mod standing;
