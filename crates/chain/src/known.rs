//! Courts whose code is known, each with its machine version. An upgraded node with open deals
//! still finds the courts of those deals here.

use std::fmt::Display;
use std::sync::{Arc, LazyLock};

use alloy_primitives::{B256, hex, keccak256};
use serde::Deserialize;

use crate::error::ChainError;

/// Machine version of the committed artifacts: `StepUnit.CANON_VERSION`.
const MACHINE: u16 = 3;

/// Artifacts of a court's contracts: JSON from the compiler.
#[derive(Clone, Copy, Debug)]
pub struct CourtArtifacts<'a> {
    /// Artifact of the court.
    pub court: &'a str,
    /// Artifact of the step unit, which verifies single steps.
    pub step_unit: &'a str,
    /// Artifact of the float unit.
    pub float_unit: &'a str,
}

impl CourtArtifacts<'static> {
    /// Artifacts that this crate was built with.
    pub const COMMITTED: Self = Self {
        court: include_str!("../../../contracts/artifacts/Court.json"),
        step_unit: include_str!("../../../contracts/artifacts/StepUnit.json"),
        float_unit: include_str!("../../../contracts/artifacts/FloatUnit.json"),
    };
}

/// Code of one court, with its machine version.
#[derive(Clone, Debug)]
pub struct CourtCode {
    machine: u16,
    court: Code,
    step_unit: Code,
    float_unit: Code,
}

impl CourtCode {
    /// Returns the code of a court with this machine version.
    ///
    /// # Errors
    /// Fails if an artifact cannot be read.
    pub fn of(machine: u16, artifacts: CourtArtifacts<'_>) -> Result<Self, ChainError> {
        let CourtArtifacts { court, step_unit, float_unit } = artifacts;
        let [court, step_unit, float_unit] = [
            Code::of(&deployed_code(court)?),
            Code::of(&deployed_code(step_unit)?),
            Code::of(&deployed_code(float_unit)?),
        ];
        Ok(Self { machine, court, step_unit, float_unit })
    }

    /// Returns the machine version of the court.
    pub fn machine(&self) -> u16 {
        self.machine
    }
}

/// All courts that a node knows.
#[derive(Clone, Debug)]
pub struct KnownCourts(Arc<[CourtCode]>);

/// Courts that this build knows.
static KNOWN: LazyLock<KnownCourts> = LazyLock::new(|| {
    let committed = CourtCode::of(MACHINE, CourtArtifacts::COMMITTED);
    KnownCourts::new([committed.expect("committed artifacts can be read")])
});

impl Default for KnownCourts {
    /// Returns the courts that this build knows.
    fn default() -> Self {
        KNOWN.clone()
    }
}

impl KnownCourts {
    /// Returns a list of these courts.
    pub fn new(courts: impl IntoIterator<Item = CourtCode>) -> Self {
        Self(courts.into_iter().collect())
    }

    /// Returns whether a known court has this step unit.
    pub(crate) fn has_step_unit(&self, code: &[u8]) -> bool {
        self.0.iter().any(|known| known.step_unit.is(code))
    }

    /// Returns the court with this code, step unit and float unit on chain.
    pub(crate) fn find(
        &self,
        court: &[u8],
        step_unit: &[u8],
        float_unit: &[u8],
    ) -> Option<&CourtCode> {
        self.0.iter().find(|known| {
            known.court.is(court)
                && known.step_unit.is(step_unit)
                && known.float_unit.is(float_unit)
        })
    }
}

/// Hash of deployed code. Immutables differ between deployments, so that they are hashed as zeros.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    hash: B256,
    bytes: usize,
    /// Positions at which the 32 bytes of an immutable begin.
    holes: Vec<usize>,
}

impl Code {
    /// Hashes code as the compiler wrote it, with 32 zero bytes behind a PUSH32 for every
    /// immutable.
    pub(crate) fn of(code: &[u8]) -> Self {
        const PUSH32: u8 = 0x7f;
        let (mut holes, mut at) = (Vec::new(), 0);
        while at < code.len() {
            let hole =
                code[at] == PUSH32 && code.get(at + 1..at + 33).is_some_and(|hole| hole == [0; 32]);
            if hole {
                holes.push(at + 1);
            }
            at += if hole { 33 } else { 1 };
        }
        Self { hash: keccak256(code), bytes: code.len(), holes }
    }

    /// Returns whether `code` on chain is this code.
    pub(crate) fn is(&self, code: &[u8]) -> bool {
        if code.len() != self.bytes {
            return false;
        }
        let mut code = code.to_vec();
        for hole in &self.holes {
            code[*hole..hole + 32].fill(0);
        }
        keccak256(&code) == self.hash
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact<'a> {
    bytecode: &'a str,
    deployed_bytecode: &'a str,
}

fn bytes(text: &str, code: impl Fn(Artifact<'_>) -> &str) -> Result<Vec<u8>, ChainError> {
    let broken = |e: &dyn Display| ChainError::Deploy(format!("artifact: {e}"));
    let artifact: Artifact<'_> = serde_json::from_str(text).map_err(|e| broken(&e))?;
    hex::decode(code(artifact)).map_err(|e| broken(&e))
}

/// Returns the code that creates a contract, from its artifact.
pub(crate) fn creation_code(text: &str) -> Result<Vec<u8>, ChainError> {
    bytes(text, |artifact| artifact.bytecode)
}

/// Returns the code that a contract has on chain, except for its immutables, from its artifact.
pub(crate) fn deployed_code(text: &str) -> Result<Vec<u8>, ChainError> {
    bytes(text, |artifact| artifact.deployed_bytecode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immutables_may_differ_and_nothing_else() {
        let ours = [&[1, 0x7f][..], &[0; 32], &[2]].concat();
        let with = |value: u8, last: u8| [&[1, 0x7f][..], &[value; 32], &[last]].concat();
        let code = Code::of(&ours);
        assert!(code.is(&with(0, 2)) && code.is(&with(9, 2)));
        assert!(!code.is(&with(9, 3)));
        assert!(!code.is(&ours[1..]));
        let mut other = ours.clone();
        other[0] = 9;
        assert!(!code.is(&other));
        assert!(!Code::of(&[0x7f, 0]).is(&[0x7f, 1]), "no hole at the end");
    }

    #[test]
    fn of_two_known_courts_the_one_with_that_code_is_found() {
        let deployed = |text| deployed_code(text).unwrap();
        let CourtArtifacts { court, step_unit, float_unit } = CourtArtifacts::COMMITTED;
        let (court, step, float) = (deployed(court), deployed(step_unit), deployed(float_unit));
        let mut other_step = step.clone();
        *other_step.last_mut().unwrap() ^= 1;
        let other = CourtCode {
            machine: 9,
            court: Code::of(&court),
            step_unit: Code::of(&other_step),
            float_unit: Code::of(&float),
        };
        let ours = CourtCode::of(MACHINE, CourtArtifacts::COMMITTED).unwrap();
        let both = KnownCourts::new([other, ours]);
        let machine = |courts: &KnownCourts, step: &[u8]| {
            courts.find(&court, step, &float).map(CourtCode::machine)
        };
        assert_eq!(machine(&both, &step), Some(3));
        assert_eq!(machine(&both, &other_step), Some(9));
        assert_eq!(machine(&KnownCourts::default(), &other_step), None);
        assert_eq!(both.find(&step, &court, &float).map(CourtCode::machine), None);
    }
}
