//! Text of others on its way to a terminal, a table or JSON: one function for each place. What a
//! program wrote, what a provider said, how a file is called: none of it may move a cursor, turn
//! text around, or become a formula.

use std::{borrow::Cow, fmt::Write};

/// Largest whole number that every reader of JSON has exactly.
const MAX_EXACT: u64 = 1 << 53;

/// Whether a character does something instead of being shown: control characters, line separators,
/// marks that change the direction of text, tags.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text for a terminal: whatever acts is written out, such as `\u{1b}`; lines and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    written_out(text, &['\n', '\t'])
}

fn written_out<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let hidden = |c: char| acts(c) && !kept.contains(&c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Bytes for a table or JSON, as text: themselves if they are UTF-8, otherwise `base64:` and what
/// they are. Text that begins like that is written in base64, too, so that nothing is lost.
pub fn bytes_as_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("base64:") => Cow::Borrowed(text),
        _ => Cow::Owned(format!("base64:{}", base64(bytes))),
    }
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = (0..3)
            .fold(0u32, |word, at| word << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= three.len() { digit.into() } else { '=' });
        }
    }
    out
}

/// A line of CSV (RFC 4180) that a spreadsheet shows as it is: what acts is written out, and what
/// would be a formula begins with an apostrophe. Numbers stay numbers.
pub fn csv_record(cells: &[&str]) -> String {
    let cell = |text: &&str| {
        let mut text = written_out(text, &['\n', '\t', '\r']);
        if is_formula(&text) {
            text.to_mut().insert(0, '\'');
        }
        match text.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.into_owned(),
        }
    };
    let mut line = cells.iter().map(cell).collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

/// Whether a spreadsheet would work something out.
fn is_formula(text: &str) -> bool {
    let starts = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    let number = |text: &str| {
        let digits = text.trim_start_matches(['+', '-']);
        text.len() - digits.len() <= 1
            && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.parse::<f64>().is_ok()
    };
    text.starts_with(starts) && text.chars().count() > 1 && !number(text)
}

/// JSON that every reader reads alike, of what a serializer wrote: whole numbers that need more
/// than 53 bits become texts, and within texts whatever acts is escaped.
pub fn json(serialized: &str) -> String {
    let mut out = String::with_capacity(serialized.len() + 16);
    let mut rest = serialized;
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        let (token, after) = match (quoted, c) {
            (true, '\\') => {
                rest.split_at(rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at))
            }
            (false, '-' | '0'..='9') => {
                let end =
                    rest.find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'));
                rest.split_at(end.unwrap_or(rest.len()))
            }
            _ => rest.split_at(c.len_utf8()),
        };
        rest = after;
        match (quoted, c) {
            (_, '"') => {
                quoted = !quoted;
                out.push('"');
            }
            (true, c) if acts(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            (false, '-' | '0'..='9') if !exact(token) => {
                let _ = write!(out, "\"{token}\"");
            }
            _ => out.push_str(token),
        }
    }
    out
}

/// Whether every reader has this number exactly; fractions are what they are.
fn exact(number: &str) -> bool {
    let digits = number.trim_start_matches('-');
    digits.contains(['.', 'e', 'E'])
        || digits.parse::<u64>().is_ok_and(|number| number <= MAX_EXACT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_text_and_nothing_else() {
        let table = [
            ("plain, ä, 語, 👩‍🚀", "plain, ä, 語, 👩‍🚀"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\x1b]52;c;cm0=\x1b\\", "\\u{1b}]52;c;cm0=\\u{1b}\\"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("over\rwritten", "over\\u{d}written"),
            ("back\x08", "back\\u{8}"),
            ("nul\0", "nul\\u{0}"),
            ("del\x7f", "del\\u{7f}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"),
            ("line\u{2028}", "line\\u{2028}"),
            ("\u{feff}bom", "\\u{feff}bom"),
        ];
        for (text, shown) in table {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn a_table_holds_text_and_numbers_but_no_formulas() {
        let table = [
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("=1+1", "'=1+1"),
            ("+1+1", "'+1+1"),
            ("-2+3", "'-2+3"),
            ("--fast", "'--fast"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            ("-1.5", "-1.5"),
            ("+3", "+3"),
            ("-1e-7", "-1e-7"),
            ("-", "-"),
            ("-inf", "'-inf"),
            ("'=1", "'=1"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("two\nlines", "\"two\nlines\""),
        ];
        for (text, cell) in table {
            assert_eq!(csv_record(&[text]), format!("{cell}\n"));
        }
        assert_eq!(csv_record(&["a", "", "c"]), "a,,c\n");
    }

    #[test]
    fn bytes_are_not_lost() {
        let table: [(&[u8], &str); 8] = [
            (b"text\n", "text\n"),
            (b"", ""),
            (b"\xff", "base64:/w=="),
            (b"\xff\xfe", "base64://4="),
            (b"\xff\xfe\xfd", "base64://79"),
            (b"\x89PNG", "base64:iVBORw=="),
            (b"base64:x", "base64:YmFzZTY0Ong="),
            ("ä".as_bytes(), "ä"),
        ];
        for (bytes, text) in table {
            assert_eq!(bytes_as_text(bytes), text);
        }
    }

    #[test]
    fn json_is_read_alike_by_everybody() {
        let table = [
            ("{\"n\":9007199254740992}", "{\"n\":9007199254740992}"),
            ("{\"n\":9007199254740993}", "{\"n\":\"9007199254740993\"}"),
            ("[-9007199254740993,1]", "[\"-9007199254740993\",1]"),
            (
                "[340282366920938463463374607431768211455]",
                "[\"340282366920938463463374607431768211455\"]",
            ),
            ("18446744073709551615", "\"18446744073709551615\""),
            ("[1.5e300,0.1,-1]", "[1.5e300,0.1,-1]"),
            ("\"9007199254740993\"", "\"9007199254740993\""),
            ("\"a\\\"9007199254740993\"", "\"a\\\"9007199254740993\""),
            ("\"\\\\\",9007199254740993", "\"\\\\\",\"9007199254740993\""),
            ("\"x\u{9b}\u{202e}\u{7f}\"", "\"x\\u009b\\u202e\\u007f\""),
            ("\"\u{e0041}ä👩‍🚀\"", "\"\\udb40\\udc41ä👩‍🚀\""),
            ("{\n  \"a\": true\n}", "{\n  \"a\": true\n}"),
        ];
        for (serialized, safe) in table {
            assert_eq!(json(serialized), safe);
        }
    }
}
