//! Versions of the machine, side by side. A node knows several. It runs new programs under the
//! current rules, and judges a program that was signed under other rules by those.

use std::fmt;

use alloy_primitives::B256;

use crate::{Canonical, GateError, Lowered, WrongProof, v3};

/// Rules of one version. They never change.
pub trait Machine: Send + Sync {
    /// Returns the number that is part of every program's root and of every state's hash.
    fn version(&self) -> u16;

    /// Checks a module and returns its M'. The same bytes always give the same M'.
    ///
    /// # Errors
    /// Fails if these rules refuse the module.
    fn canonicalise(&self, wasm: &[u8]) -> Result<Canonical, GateError>;

    /// Lowers a program that [`Machine::canonicalise`] of the same machine returned.
    fn lower(&self, canonical: &Canonical) -> Lowered;

    /// Returns the hash of the state that follows the state with the hash `state`, as the court's
    /// step unit does.
    ///
    /// # Errors
    /// Fails if the proof does not belong to this state.
    fn judge(&self, state: B256, proof: &[u8]) -> Result<B256, WrongProof>;
}

impl Machine for v3::Rules {
    fn version(&self) -> u16 {
        self.number()
    }

    fn canonicalise(&self, wasm: &[u8]) -> Result<Canonical, GateError> {
        self.canonicalise(wasm)
    }

    fn lower(&self, canonical: &Canonical) -> Lowered {
        self.lower(canonical)
    }

    fn judge(&self, state: B256, proof: &[u8]) -> Result<B256, WrongProof> {
        v3::judge(state, proof)
    }
}

impl fmt::Debug for dyn Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "machine version {}", self.version())
    }
}

/// Machines that this build knows, the current one first.
static KNOWN: [&dyn Machine; 1] = [&v3::RULES];

/// Returns the machine of this version, if this build knows it.
pub fn version(number: u16) -> Option<&'static dyn Machine> {
    Machines::default().version(number)
}

/// All machines that a node knows, the current one first.
#[derive(Clone, Copy, Debug)]
pub struct Machines(&'static [&'static dyn Machine]);

impl Default for Machines {
    /// Returns the machines that this build knows.
    fn default() -> Self {
        Self(&KNOWN)
    }
}

impl Machines {
    /// Returns a list of these machines, the current one first.
    ///
    /// # Panics
    /// If there is none.
    pub const fn new(machines: &'static [&'static dyn Machine]) -> Self {
        assert!(!machines.is_empty(), "a node runs new programs under some machine");
        Self(machines)
    }

    /// Returns the machine that new programs run under.
    pub fn current(self) -> &'static dyn Machine {
        self.0[0]
    }

    /// Returns the machine of this version, if it is known.
    pub fn version(self, number: u16) -> Option<&'static dyn Machine> {
        self.all().find(|machine| machine.version() == number)
    }

    /// Returns every machine, the current one first.
    pub fn all(self) -> impl Iterator<Item = &'static dyn Machine> {
        self.0.iter().copied()
    }

    /// Returns the machine under which a program has the root `root`, with its M', or `None` if no
    /// known version gives that root. A root commits to the version under which the program was
    /// signed.
    ///
    /// # Errors
    /// Returns the error of the current version if no known version accepts the module.
    pub fn find(
        self,
        wasm: &[u8],
        root: B256,
    ) -> Result<Option<(&'static dyn Machine, Canonical)>, GateError> {
        let (mut refused, mut taken) = (None, false);
        for machine in self.all() {
            match machine.canonicalise(wasm) {
                Ok(canonical) if canonical.program_root == root => {
                    return Ok(Some((machine, canonical)));
                }
                Ok(_) => taken = true,
                Err(why) => drop(refused.get_or_insert(why)),
            }
        }
        match refused {
            Some(why) if !taken => Err(why),
            _ => Ok(None),
        }
    }

    /// Returns the lowered program that [`Machines::find`] finds. A court judges runs of it.
    ///
    /// # Errors
    /// Those of [`Machines::find`].
    pub fn lower(self, wasm: &[u8], root: B256) -> Result<Option<Lowered>, GateError> {
        Ok(self.find(wasm, root)?.map(|(machine, canonical)| machine.lower(&canonical)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static OLD: v3::Rules = v3::Rules::numbered(2);
    static BOTH: [&dyn Machine; 2] = [&v3::RULES, &OLD];

    fn program() -> Vec<u8> {
        wat::parse_str(r#"(module (func (export "_start")) (memory (export "memory") 1))"#).unwrap()
    }

    #[test]
    fn a_known_version_is_found_by_its_number() {
        assert_eq!(version(3).map(Machine::version), Some(3));
        assert!(version(2).is_none() && version(4).is_none());
        let both = Machines::new(&BOTH);
        assert_eq!((both.current().version(), both.version(2).map(Machine::version)), (3, Some(2)));
    }

    #[test]
    fn a_program_is_lowered_under_the_rules_that_its_root_names() {
        let (wasm, both) = (program(), Machines::new(&BOTH));
        let roots: Vec<_> =
            both.all().map(|machine| machine.canonicalise(&wasm).unwrap().program_root).collect();
        assert_ne!(roots[0], roots[1]);
        for (root, version) in roots.iter().zip([3, 2]) {
            let lowered = both.lower(&wasm, *root).unwrap().unwrap();
            assert_eq!((lowered.parts.root(), lowered.parts.version), (*root, version));
        }
        assert!(
            Machines::default().lower(&wasm, roots[1]).unwrap().is_none(),
            "version 2 is unknown"
        );
        assert!(both.lower(b"nothing", roots[0]).is_err());
    }
}
