//! What a worker answers. The parent believes nothing of it but what is said here.

use super::Protection;
use crate::wasm::compile::{About, Compiled};

/// Longest message that is taken over, bytes.
const MAX_TEXT_BYTES: usize = 4096;
const COMPILED: u8 = b'c';
const REFUSED: u8 = b'r';
const FAILED: u8 = b'f';
const PROBE: u8 = b'p';
/// Ends every reply, so that one that was cut is not taken for whole.
const END: &[u8; 4] = b"done";

/// What protections there can be: a worker names them by number, so that what is printed is ours.
pub(super) const PROTECTIONS: [&str; 6] = [
    "process of its own",
    "memory limit",
    "processor limit",
    "no files",
    "no network",
    "system calls filtered",
];

pub(super) enum Reply {
    Compiled(Compiled),
    /// By the gate.
    Refused(String),
    Failed(String),
    Probe(Vec<Protection>),
}

impl Reply {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = match self {
            Self::Compiled(Compiled { about, mut code }) => {
                let mut head = vec![COMPILED];
                head.extend_from_slice(&about.encode());
                // The code is large: nothing is copied but moved up.
                code.splice(0..0, head);
                code
            }
            Self::Refused(why) => [&[REFUSED], why.as_bytes()].concat(),
            Self::Failed(why) => [&[FAILED], why.as_bytes()].concat(),
            Self::Probe(found) => {
                let mut bytes = vec![PROBE];
                for protection in found {
                    let number = PROTECTIONS
                        .iter()
                        .position(|name| *name == protection.name)
                        .unwrap_or_default();
                    let why = &protection.why.as_bytes()[..protection.why.len().min(200)];
                    bytes.extend_from_slice(&[
                        number as u8,
                        u8::from(protection.holds),
                        why.len() as u8,
                    ]);
                    bytes.extend_from_slice(why);
                }
                bytes
            }
        };
        bytes.extend_from_slice(END);
        bytes
    }

    pub(super) fn decode(mut bytes: Vec<u8>) -> Option<Self> {
        let whole = bytes.strip_suffix(END)?.len();
        bytes.truncate(whole);
        let (tag, rest) = bytes.split_first()?;
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_BYTES)]);
            text.chars().filter(|c| !c.is_control()).collect()
        };
        Some(match *tag {
            COMPILED => {
                let about = About::decode(rest.first_chunk()?);
                bytes.drain(..1 + About::BYTES);
                Self::Compiled(Compiled { about, code: bytes })
            }
            REFUSED => Self::Refused(text(rest)),
            FAILED => Self::Failed(text(rest)),
            PROBE => {
                let mut found = Vec::new();
                let mut rest = rest;
                while let [number, holds, len, more @ ..] = rest {
                    let (why, next) = more.split_at_checked(*len as usize)?;
                    let name = PROTECTIONS.get(*number as usize)?;
                    found.push(Protection { name, holds: *holds == 1, why: text(why) });
                    rest = next;
                }
                Self::Probe(found)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_back_and_cut_ones_do_not() {
        let about =
            About { root: alloy_primitives::B256::repeat_byte(7), min_pages: 2, max_pages: 3 };
        let bytes = Reply::Compiled(Compiled { about, code: vec![5; 100] }).encode();
        let Some(Reply::Compiled(back)) = Reply::decode(bytes.clone()) else {
            panic!("it is whole")
        };
        assert_eq!((back.about, back.code), (about, vec![5; 100]));
        for cut in 0..bytes.len() {
            assert!(Reply::decode(bytes[..cut].to_vec()).is_none(), "{cut}");
        }
        let Some(Reply::Refused(why)) =
            Reply::decode(Reply::Refused("no\u{1b}[2J".into()).encode())
        else {
            panic!()
        };
        assert_eq!(why, "no[2J");
        let found = vec![Protection { name: PROTECTIONS[3], holds: true, why: "landlock".into() }];
        let Some(Reply::Probe(back)) = Reply::decode(Reply::Probe(found.clone()).encode()) else {
            panic!()
        };
        assert_eq!(back, found);
    }
}
