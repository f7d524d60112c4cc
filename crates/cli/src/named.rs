//! Things that are named by their id, or by its beginning.

use std::fmt::LowerHex;

/// Fewest characters of an id that name something.
pub const MIN_ID: usize = 4;

/// Why nothing is named so.
pub enum Unnamed {
    /// It is no beginning of an id, or too short.
    NoId,
    /// No id begins so.
    Nothing,
    /// So many begin so.
    Many(usize),
}

/// The one whose id begins so.
pub fn by_id<T, I: LowerHex>(all: Vec<T>, id: impl Fn(&T) -> I, named: &str) -> Result<T, Unnamed> {
    let digits = named.strip_prefix("0x").unwrap_or(named).to_ascii_lowercase();
    if digits.len() < MIN_ID || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(Unnamed::NoId);
    }
    let mut fits: Vec<T> =
        all.into_iter().filter(|one| format!("{:x}", id(one)).starts_with(&digits)).collect();
    match fits.pop() {
        Some(one) if fits.is_empty() => Ok(one),
        Some(_) => Err(Unnamed::Many(fits.len() + 1)),
        None => Err(Unnamed::Nothing),
    }
}
