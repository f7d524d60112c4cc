//! Modules that somebody prepares: whoever brings the same one waits for the first, instead of
//! doing it again.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{CancelFlag, ExecError};

/// How often somebody who waits looks up.
const WAIT: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(crate) struct Underway {
    names: Mutex<HashSet<blake3::Hash>>,
    changed: Condvar,
}

/// Nobody else prepares the module.
pub(crate) struct Alone<'a> {
    underway: &'a Underway,
    name: blake3::Hash,
}

impl Underway {
    pub(crate) fn enter(
        &self,
        name: blake3::Hash,
        cancel: &CancelFlag,
    ) -> Result<Alone<'_>, ExecError> {
        let mut names = self.lock();
        loop {
            if cancel.is_cancelled() {
                return Err(ExecError::Cancelled);
            }
            if names.insert(name) {
                return Ok(Alone { underway: self, name });
            }
            names =
                self.changed.wait_timeout(names, WAIT).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<blake3::Hash>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.underway.lock().remove(&self.name);
        self.underway.changed.notify_all();
    }
}
