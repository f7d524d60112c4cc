//! How numbers, names and tables look to people.

use std::{
    fmt::Arguments,
    io::{IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rialto_client::settings::TOKEN_DECIMALS;
use rialto_protocol::{Address, B256};
use serde::Serialize;
use serde_json::Value;

use crate::args::Output;

/// Nobody reads standard output any more.
static UNHEARD: AtomicBool = AtomicBool::new(false);

/// What this crate's `print!` and `println!` do. A closed pipe is nobody's fault.
pub fn say(text: Arguments<'_>) {
    if std::io::stdout().write_fmt(text).is_err() {
        UNHEARD.store(true, Relaxed);
    }
}

/// Whether nobody reads any more: what goes on only to be read may end.
pub fn unheard() -> bool {
    UNHEARD.load(Relaxed)
}

/// Prints text for people, or one line of JSON; a closed pipe is nobody's fault.
pub fn either(format: Output, text: &str, json: impl FnOnce() -> Value) {
    let out = match format {
        Output::Human => text.to_owned(),
        Output::Json => json().to_string(),
    };
    let _ = writeln!(std::io::stdout(), "{out}");
}

/// The same for data whose money may need more than 64 bits, which `Value` does not hold.
pub fn either_of(format: Output, text: impl FnOnce() -> String, data: &impl Serialize) {
    let out = match format {
        Output::Human => text(),
        Output::Json => serde_json::to_string(data).expect("plain data, its keys are texts"),
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

/// Base units as a short decimal amount without its unit, for tables that name it.
pub fn bare(units: u128) -> String {
    let all = money(units);
    let number = all.trim_end_matches(" tUSD").trim_end_matches('0');
    number.trim_end_matches('.').to_owned()
}

/// Wei as whole coins, six digits.
pub fn coins(wei: u128) -> String {
    let micro = wei / 10u128.pow(12);
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

/// Seconds, for people.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time of the chain, UTC: `2026-11-29 16:13`.
pub fn time(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Gregorian date of a day number, by Howard Hinnant's `civil_from_days`: years begin in March, eras have 400 of them.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", seconds / 3600, seconds / 60 % 60)
}

/// The same to the second, as ISO 8601 writes it: `2026-11-29T16:13:05Z`.
pub fn instant(unix_seconds: u64) -> String {
    format!("{}:{:02}Z", time(unix_seconds).replace(' ', "T"), unix_seconds % 60)
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
        assert_eq!([bare(0), bare(10), bare(120_000), bare(1_000_000_000)], ["0", "0.00001", "0.12", "1000"]);
        assert_eq!(coins(1_500_000_000_000_000_000), "1.500000");
        assert_eq!(fuel(999_999), "999999 fuel");
        assert_eq!(fuel(12_340_000_000), "12.34 Gfuel");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn times_read_well() {
        assert_eq!([span(5), span(600), span(7200), span(800_000)], ["5 s", "10 min", "2 h", "9 d"]);
        assert_eq!(time(0), "1970-01-01 00:00");
        assert_eq!(time(951_782_399), "2000-02-28 23:59");
        assert_eq!(time(951_868_800), "2000-03-01 00:00");
        assert_eq!(time(1_795_968_780), "2026-11-29 16:13");
        assert_eq!(instant(1_795_968_785), "2026-11-29T16:13:05Z");
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["a".to_owned(), "10".to_owned()], vec!["\x1b[1mbcd\x1b[0m".to_owned(), "7".to_owned()]];
        assert_eq!(table(&["who", "n"], &[], &rows), "  who   n\n  ───────\n  a    10\n  \x1b[1mbcd\x1b[0m   7");
    }
}
