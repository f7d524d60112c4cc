//! How numbers, names and tables look to people.

pub mod plot;
pub mod progress;

use std::{
    borrow::Cow,
    ffi::OsStr,
    fmt::Arguments,
    io::{IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rialto_client::{escape, settings::TOKEN_DECIMALS};
use rialto_protocol::{Address, B256};
use serde::Serialize;

/// Form of what is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// One JSON object at the end.
    Json,
}

/// Nobody reads standard output any more.
static UNHEARD: AtomicBool = AtomicBool::new(false);

/// Why something was not written to standard output.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);
/// What [`Paint`] writes between `ESC [` and the end; nothing else of the kind reaches a terminal.
const CODES: [&str; 5] = ["0m", "1m", "2m", "31m", "32m"];

/// Writes bytes as they are. A closed pipe is nobody's fault; anything else is told by [`finish`].
pub fn raw(bytes: &[u8]) {
    note(std::io::stdout().write_all(bytes));
}

fn note(outcome: std::io::Result<()>) {
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            UNHEARD.store(true, Relaxed)
        }
        Err(error) => {
            UNHEARD.store(true, Relaxed);
            LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

/// Whether all that was said is out: only then a command may say that all went well.
///
/// # Errors
/// `C-OUT-001`.
pub fn finish() -> Result<()> {
    note(std::io::stdout().flush());
    match LOST.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => Ok(()),
        Some(error) => Err(error).context(failure!(
            Failed,
            "C-OUT-001",
            "standard output could not be written"
        )),
    }
}

/// Text for a terminal: our colours, and whatever else acts written out.
fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return escape::visible(text);
    }
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split("\x1b[").enumerate() {
        let code = CODES.iter().find(|code| at > 0 && part.starts_with(**code));
        match code {
            Some(code) => {
                out.push_str("\x1b[");
                out.push_str(code);
            }
            None if at > 0 => out.push_str("\\u{1b}["),
            None => {}
        }
        out.push_str(&escape::visible(&part[code.map_or(0, |code| code.len())..]));
    }
    Cow::Owned(out)
}

/// What this crate's `print!` and `println!` do.
pub fn say(text: Arguments<'_>) {
    raw(shown(&text.to_string()).as_bytes());
}

/// What this crate's `eprintln!` does.
pub fn say_aside(text: Arguments<'_>) {
    // Nowhere is left to tell it.
    let _ = std::io::stderr().write_all(shown(&text.to_string()).as_bytes());
}

/// What a program put out: bytes as they are, unless a terminal would act on them.
pub fn output_of_program(bytes: &[u8]) {
    match std::io::stdout().is_terminal() {
        true => say(format_args!("{}", String::from_utf8_lossy(bytes))),
        false => raw(bytes),
    }
}

/// The same for its standard error.
pub fn errors_of_program(bytes: &[u8]) {
    match std::io::stderr().is_terminal() {
        true => say_aside(format_args!("{}", String::from_utf8_lossy(bytes))),
        false => drop(std::io::stderr().write_all(bytes)),
    }
}

/// JSON on a line of its own, such as every reader reads alike. Not through `Value`: money may need
/// more than 64 bits.
pub fn json(data: &impl Serialize) {
    let text = serde_json::to_string(data).expect("plain data, its keys are texts");
    raw(format!("{}\n", escape::json(&text)).as_bytes());
}

/// The same on many lines.
pub fn json_on_lines(data: &impl Serialize) {
    let text = serde_json::to_string_pretty(data).expect("plain data, its keys are texts");
    raw(format!("{}\n", escape::json(&text)).as_bytes());
}

/// Whether nobody reads any more: what goes on only to be read may end.
pub fn unheard() -> bool {
    UNHEARD.load(Relaxed)
}

/// How a command answers: with text for people, or with JSON for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ui {
    output: Output,
}

impl Ui {
    /// As the command line asks for it.
    pub fn new(output: Output) -> Self {
        Self { output }
    }

    /// The form that was asked for.
    pub fn output(self) -> Output {
        self.output
    }

    /// Whether people read: then a command may tell what it is doing, too.
    pub fn for_people(self) -> bool {
        self.output == Output::Human
    }

    /// Prints text for people, or one line of JSON.
    pub fn answer<T: Serialize>(self, text: &str, data: impl FnOnce() -> T) {
        match self.output {
            Output::Human => say(format_args!("{text}\n")),
            Output::Json => json(&data()),
        }
    }

    /// The same with text that is made only for people.
    pub fn answer_with(self, text: impl FnOnce() -> String, data: &impl Serialize) {
        match self.output {
            Output::Human => say(format_args!("{}\n", text())),
            Output::Json => json(data),
        }
    }
}

/// Whether the environment asks for text without colours: `NO_COLOR`, or a terminal that knows
/// none.
fn colourless(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_some_and(|value| !value.is_empty()) || term.is_some_and(|term| term == "dumb")
}

/// Whether the terminal can move its cursor: without, there are no bars.
pub fn has_bars() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colours, where stdout is a terminal that wants them.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colours only on a terminal.
    pub fn for_stdout() -> Self {
        let plain = colourless(
            std::env::var_os("NO_COLOR").as_deref(),
            std::env::var_os("TERM").as_deref(),
        );
        Self { on: std::io::stdout().is_terminal() && !plain }
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
    // Gregorian date of a day number, by Howard Hinnant's `civil_from_days`: years begin in March,
    // eras have 400 of them.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) =
        (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
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
pub fn short_hash(hash: impl Into<B256>) -> String {
    format!("0x{}…", &alloy_primitives::hex::encode(hash.into())[..12])
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
            let (before, after) =
                if i == 0 || left.contains(&i) { ("", pad.as_str()) } else { (pad.as_str(), "") };
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
        assert_eq!(
            [bare(0), bare(10), bare(120_000), bare(1_000_000_000)],
            ["0", "0.00001", "0.12", "1000"]
        );
        assert_eq!(coins(1_500_000_000_000_000_000), "1.500000");
        assert_eq!(fuel(999_999), "999999 fuel");
        assert_eq!(fuel(12_340_000_000), "12.34 Gfuel");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(
            [span(5), span(600), span(7200), span(800_000)],
            ["5 s", "10 min", "2 h", "9 d"]
        );
        assert_eq!(time(0), "1970-01-01 00:00");
        assert_eq!(time(951_782_399), "2000-02-28 23:59");
        assert_eq!(time(951_868_800), "2000-03-01 00:00");
        assert_eq!(time(1_795_968_780), "2026-11-29 16:13");
        assert_eq!(instant(1_795_968_785), "2026-11-29T16:13:05Z");
    }

    #[test]
    fn only_our_colours_reach_a_terminal() {
        let paint = Paint { on: true };
        for painted in [paint.bold("x"), paint.good("ä"), paint.bad("x\ty\nz"), paint.dim("")] {
            assert_eq!(shown(&painted), painted);
        }
        let table = [
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("\x1b[1;31mx\x1b[0m", "\\u{1b}[1;31mx\x1b[0m"),
            ("\x1b]0;t\x07", "\\u{1b}]0;t\\u{7}"),
            ("\x1b[1m\x1b[6n", "\x1b[1m\\u{1b}[6n"),
            ("\x1b", "\\u{1b}"),
            ("a\rb", "a\\u{d}b"),
            ("\u{202e}x", "\\u{202e}x"),
        ];
        for (text, seen) in table {
            assert_eq!(shown(text), seen);
        }
    }

    #[test]
    fn colours_are_for_who_wants_them() {
        let plain = |no_color: Option<&str>, term: Option<&str>| {
            colourless(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(plain(Some("1"), Some("xterm")) && plain(None, Some("dumb")));
        assert!(!plain(Some(""), Some("xterm")) && !plain(None, None));
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "10".to_owned()],
            vec!["\x1b[1mbcd\x1b[0m".to_owned(), "7".to_owned()],
        ];
        assert_eq!(
            table(&["who", "n"], &[], &rows),
            "  who   n\n  ───────\n  a    10\n  \x1b[1mbcd\x1b[0m   7"
        );
    }
}
