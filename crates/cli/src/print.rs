//! How numbers, names and tables look to people.

use std::io::{IsTerminal, Write};

use rialto_client::settings::TOKEN_DECIMALS;
use rialto_protocol::{Address, B256};
use serde_json::Value;

use crate::args::Output;

/// Prints text for people, or one line of JSON; a closed pipe is nobody's fault.
pub fn either(format: Output, text: &str, json: impl FnOnce() -> Value) {
    let out = match format {
        Output::Human => text.to_owned(),
        Output::Json => json().to_string(),
    };
    let _ = writeln!(std::io::stdout(), "{out}");
}

/// Colours, where stdout is a terminal that wants them.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colours only on a terminal.
    pub fn for_stdout() -> Self {
        Self { on: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Something that went well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Something that went wrong.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Something less important.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
}

/// Base units as a decimal amount of the token, all digits kept.
pub fn money(units: u128) -> String {
    let one = 10u128.pow(TOKEN_DECIMALS);
    format!("{}.{:06} tUSD", units / one, units % one)
}

/// Fuel with three digits and a unit.
pub fn fuel(fuel: u128) -> String {
    let (value, unit) = match fuel {
        0..1_000_000 => return format!("{fuel} fuel"),
        1_000_000..1_000_000_000 => (fuel as f64 / 1e6, "Mfuel"),
        1_000_000_000..1_000_000_000_000 => (fuel as f64 / 1e9, "Gfuel"),
        _ => (fuel as f64 / 1e12, "Tfuel"),
    };
    format!("{value:.2} {unit}")
}

/// An integer with thousands separated.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// First and last digits of an address.
pub fn short(address: Address) -> String {
    let text = address.to_checksum(None);
    format!("{}…{}", &text[..6], &text[38..])
}

/// First digits of a hash.
pub fn short_hash(hash: B256) -> String {
    format!("0x{}…", &alloy_primitives::hex::encode(hash)[..12])
}

/// A table: first column left, the others right unless `left` names them; widths by content.
pub fn table(head: &[&str], left: &[usize], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(visible(cell));
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::from(" ");
        for (i, cell) in cells.enumerate() {
            let pad = " ".repeat(widths[i].saturating_sub(visible(cell)));
            let (before, after) = if i == 0 || left.contains(&i) { ("", pad.as_str()) } else { (pad.as_str(), "") };
            out.push_str(&format!(" {before}{cell}{after} "));
        }
        out.trim_end().to_owned()
    };
    let mut out = line(&mut head.iter().copied());
    out.push('\n');
    out.push_str("  ");
    out.push_str(&"─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len().saturating_sub(1))));
    for row in rows {
        out.push('\n');
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// Characters a terminal shows: escape sequences don't count.
fn visible(text: &str) -> usize {
    let mut shown = 0;
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\x1b') => escaped = true,
            (false, _) => shown += 1,
            (true, 'm') => escaped = false,
            (true, _) => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(money(0), "0.000000 tUSD");
        assert_eq!(money(1_234_567), "1.234567 tUSD");
        assert_eq!(fuel(999_999), "999999 fuel");
        assert_eq!(fuel(12_340_000_000), "12.34 Gfuel");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["a".to_owned(), "10".to_owned()], vec!["\x1b[1mbcd\x1b[0m".to_owned(), "7".to_owned()]];
        assert_eq!(table(&["who", "n"], &[], &rows), "  who   n\n  ───────\n  a    10\n  \x1b[1mbcd\x1b[0m   7");
    }
}
