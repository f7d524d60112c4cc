//! Values of flags, as people write them.

/// A time such as `90 s` or `2 h`, in seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    use rialto_client::settings::{DURATION, measure};
    measure(text, DURATION).ok_or_else(|| format!("{} is needed", DURATION.needed))
}

/// An amount of tokens such as `12.5`, in base units.
pub fn amount(text: &str) -> Result<u128, String> {
    rialto_client::settings::base_units(text).map_err(str::to_owned)
}

/// An amount of fuel such as `20G`.
pub fn fuel(text: &str) -> Result<u64, String> {
    use rialto_client::settings::{FUEL, measure};
    let fuel = measure(text, FUEL).filter(|fuel| (1..=i64::MAX as u64).contains(fuel));
    fuel.ok_or_else(|| format!("{} is needed", FUEL.needed))
}

/// Memory in bytes; a bare number counts MiB.
pub fn memory(text: &str) -> Result<u64, String> {
    use rialto_client::settings::{BYTES, measure};
    let bytes = match text.trim().parse::<u64>() {
        Ok(mib) => mib.checked_mul(1 << 20),
        Err(_) => measure(text, BYTES),
    };
    match bytes {
        Some(bytes) if (1..=MAX_MEMORY_BYTES).contains(&bytes) => Ok(bytes),
        Some(_) => Err("from 1 byte to 4 GiB".into()),
        None => Err(format!("a number of MiB, or {} is needed", BYTES.needed)),
    }
}

/// Most memory that a program can have, bytes.
const MAX_MEMORY_BYTES: u64 = 4 << 30;

pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
