//! The committed polyfill belongs to its sources, as far as a test can find out without a C
//! compiler.
#![allow(clippy::unwrap_used)]

use wasmparser::{Operator, Parser, Payload, Validator, WasmFeatures};

const SOURCES: [&str; 6] = ["polyfill.c", "state.h", "abi.h", "input.h", "output.h", "paths.h"];

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/wasi/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Returns the checksum of POSIX `cksum`.
fn cksum(bytes: &[u8]) -> u32 {
    let length = bytes.len().to_le_bytes();
    let significant = length.len() - length.iter().rev().take_while(|byte| **byte == 0).count();
    !bytes.iter().chain(&length[..significant]).fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[test]
fn sources_and_module_belong_together() {
    let mut all: Vec<u8> = SOURCES.iter().flat_map(|name| file(name)).collect();
    all.extend(file("polyfill.wasm"));
    let expected = String::from_utf8(file("polyfill.cksum")).unwrap();
    assert_eq!(
        expected.trim(),
        format!("{} {}", cksum(&all), all.len()),
        "run `make` in crates/machine/wasi"
    );
}

#[test]
fn it_has_no_memory_of_its_own() {
    let wasm = file("polyfill.wasm");
    let features = WasmFeatures::WASM1 | WasmFeatures::SIGN_EXTENSION | WasmFeatures::MULTI_VALUE;
    Validator::new_with_features(features).validate_all(&wasm).unwrap();
    for payload in Parser::new(0).parse_all(&wasm) {
        match payload.unwrap() {
            Payload::DataSection(_) | Payload::ElementSection(_) | Payload::StartSection { .. } => {
                panic!("static data")
            }
            Payload::CodeSectionEntry(body) => {
                for op in body.get_operators_reader().unwrap() {
                    let op = op.unwrap();
                    // global 0 is the linker's stack pointer
                    let stack = matches!(
                        op,
                        Operator::GlobalGet { global_index: 0 }
                            | Operator::GlobalSet { global_index: 0 }
                    );
                    assert!(
                        !stack
                            && !matches!(
                                op,
                                Operator::CallIndirect { .. } | Operator::MemoryGrow { .. }
                            )
                    );
                }
            }
            _ => {}
        }
    }
}
