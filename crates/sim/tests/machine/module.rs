//! Adds a `_start` to a module, to make a program from a script's assertions.

use wasm_encoder::{Encode, Function, RawSection};
use wasmparser::{Parser, Payload};

const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;
/// Sections in the order that modules must have them.
const ORDER: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11];

/// A module, split into sections.
pub struct Parts {
    sections: Vec<(u8, Vec<u8>)>,
    pub types: u32,
    pub functions: u32,
    exports: u32,
    bodies: u32,
}

fn leb(bytes: &[u8]) -> (u32, usize) {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (value, at + 1);
        }
    }
    (0, 0)
}

impl Parts {
    pub fn read(wasm: &[u8]) -> Self {
        let mut parts =
            Self { sections: Vec::new(), types: 0, functions: 0, exports: 0, bodies: 0 };
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.unwrap();
            if let Payload::ImportSection(section) = &payload {
                parts.functions += section.count();
            }
            let Some((id, range)) = payload.as_section() else { continue };
            if id == 0 {
                continue;
            }
            let bytes = &wasm[range];
            let (count, _) = leb(bytes);
            match id {
                TYPES => parts.types = count,
                FUNCTIONS => parts.functions += count,
                EXPORTS => parts.exports = count,
                CODE => parts.bodies = count,
                _ => {}
            }
            parts.sections.push((id, bytes.to_vec()));
        }
        parts
    }

    fn items(&self, id: u8) -> &[u8] {
        let section = self.sections.iter().find(|(section, _)| *section == id);
        section.map_or(&[], |(_, bytes)| &bytes[leb(bytes).1..])
    }

    /// Returns the module with this function as `_start`.
    pub fn with_start(&self, start: &Function) -> Vec<u8> {
        let mut module = wasm_encoder::Module::new();
        for id in ORDER {
            let (count, item) = match id {
                TYPES => (self.types, vec![0x60, 0, 0]),
                FUNCTIONS => (self.bodies, encoded(self.types)),
                EXPORTS => (
                    self.exports,
                    [b"\x06_start\x00".as_slice(), &encoded(self.functions)].concat(),
                ),
                CODE => {
                    let mut body = Vec::new();
                    start.encode(&mut body);
                    (self.bodies, body)
                }
                // This section repeats the count of bodies.
                12 => continue,
                id => {
                    if let Some((_, bytes)) =
                        self.sections.iter().find(|(section, _)| *section == id)
                    {
                        module.section(&RawSection { id, data: bytes });
                    }
                    continue;
                }
            };
            let data = [encoded(count + 1).as_slice(), self.items(id), &item].concat();
            module.section(&RawSection { id, data: &data });
        }
        module.finish()
    }
}

fn encoded(value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}
