//! Files in TOML that people write: config.toml, provider.toml, job.toml. Keys that don't exist are
//! refused with the one that was probably meant, values that make no sense with what is needed.

use std::{collections::BTreeMap, path::Path};

use toml::{Table, Value};

use crate::class::{Class, Classified};

/// Decimals of the market's token (a stablecoin's six): what a written amount is multiplied by.
pub const TOKEN_DECIMALS: u32 = 6;
/// Largest file, bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Letters that may differ between a key and the one that was meant.
const MAX_TYPOS: usize = 3;

/// A section's name and its keys; `"*"` takes any. The section `""` holds the keys before the first
/// section.
pub type Section = (&'static str, &'static [&'static str]);

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("[C-CFG-001] {path} can't be read: {why}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Not TOML.
    #[error("[C-CFG-002] not TOML: {0}")]
    NotToml(String),
    /// A value that makes no sense.
    #[error("[C-CFG-003] {0}")]
    Value(String),
    /// A key that doesn't exist.
    #[error("[C-CFG-004] {0}")]
    Unknown(String),
}

impl Classified for SettingsError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// A file's values, every key of which exists.
#[derive(Clone, Debug)]
pub struct Settings(Table);

impl Settings {
    /// Reads a file. One that isn't there is an empty one.
    ///
    /// # Errors
    /// `C-CFG-001` to `C-CFG-004`.
    pub fn read(path: &Path, shape: &[Section]) -> Result<Self, SettingsError> {
        let unreadable =
            |why: String| SettingsError::Unreadable { path: path.display().to_string(), why };
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unreadable(error.to_string())),
            Ok(file) if file.len() > MAX_FILE_BYTES => {
                return Err(unreadable("it is too large".into()));
            }
            Ok(_) => {
                std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?
            }
        };
        Self::parse(&text, shape)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// `C-CFG-002`, `C-CFG-004`.
    pub fn parse(text: &str, shape: &[Section]) -> Result<Self, SettingsError> {
        let table: Table =
            toml::from_str(text).map_err(|error| SettingsError::NotToml(error.to_string()))?;
        known_keys(&table, shape)?;
        Ok(Self(table))
    }

    /// A value as it was written; section `""` is the file's beginning.
    pub fn get(&self, section: &str, key: &str) -> Option<&Value> {
        if section.is_empty() { self.0.get(key) } else { self.0.get(section)?.get(key) }
    }

    /// A text.
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else.
    pub fn text(&self, section: &str, key: &str) -> Result<Option<&str>, SettingsError> {
        match self.get(section, key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(section, key, other, "a text in quotes is needed")),
        }
    }

    /// A text of a form, such as an address.
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else; `needed` says what.
    pub fn parsed<T: std::str::FromStr>(
        &self,
        section: &str,
        key: &str,
        needed: &str,
    ) -> Result<Option<T>, SettingsError> {
        let Some(text) = self.text(section, key)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| wrong(section, key, text, &format!("{needed} is needed")))
    }

    /// A list of texts, each of a form; a single text is a list of one.
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else.
    pub fn list<T: std::str::FromStr>(
        &self,
        section: &str,
        key: &str,
        needed: &str,
    ) -> Result<Option<Vec<T>>, SettingsError> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let failed = || wrong(section, key, value, &format!("a list of {needed} is needed"));
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let parse = |item: &Value| item.as_str().and_then(|text| text.parse().ok());
        items.iter().map(parse).collect::<Option<Vec<T>>>().map(Some).ok_or_else(failed)
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else.
    pub fn number(
        &self,
        section: &str,
        key: &str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, SettingsError> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let whole = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Float(_) | Value::String(_) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let number = decimal(text.trim()).filter(|(_, rest)| rest.is_empty());
                number
                    .and_then(|(number, _)| number.times(1))
                    .and_then(|number| u64::try_from(number).ok())
            }
            _ => None,
        };
        match whole {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(wrong(
                section,
                key,
                value,
                &format!("a whole number from {least} to {most} is needed"),
            )),
        }
    }

    /// A whole number from one up.
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else.
    pub fn small(&self, section: &str, key: &str, most: u32) -> Result<Option<u32>, SettingsError> {
        Ok(self.number(section, key, 1, most.into())?.map(|number| number as u32))
    }

    /// An amount of tokens, in base units.
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else.
    pub fn amount(&self, section: &str, key: &str) -> Result<Option<u128>, SettingsError> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            // The shortest text that means this number is what was written.
            Value::Float(number) => number.to_string(),
            other => {
                return Err(wrong(section, key, other, "write an amount of tokens, such as 0.25"));
            }
        };
        base_units(&text).map(Some).map_err(|why| wrong(section, key, text, why))
    }

    /// A number with a unit, such as `"256 MiB"`, as a whole number of the smallest; a bare number
    /// counts those.
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else.
    pub fn measure(
        &self,
        section: &str,
        key: &str,
        units: Units,
    ) -> Result<Option<u64>, SettingsError> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match measure(&text, units) {
            Some(measured) => Ok(Some(measured)),
            None => Err(wrong(section, key, value, &format!("{} is needed", units.needed))),
        }
    }

    /// Texts by name, of a section that takes any key; numbers are texts, too.
    ///
    /// # Errors
    /// `C-CFG-003` for anything else.
    pub fn texts(&self, section: &str) -> Result<BTreeMap<String, String>, SettingsError> {
        let Some(Value::Table(table)) = self.0.get(section) else { return Ok(BTreeMap::new()) };
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
                Ok((key.clone(), value.to_string()))
            }
            other => Err(wrong(section, key, other, "a text is needed")),
        };
        table.iter().map(text).collect()
    }

    /// A share of one, in parts of `scale` (10_000 for basis points, 1_000_000 for parts per
    /// million).
    ///
    /// # Errors
    /// `C-CFG-003` if it is something else.
    pub fn share(
        &self,
        section: &str,
        key: &str,
        most: f64,
        scale: u32,
    ) -> Result<Option<u32>, SettingsError> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let percent = |text: &str| match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
            None => text.trim().parse().ok(),
        };
        let number = match value {
            Value::String(text) => percent(text),
            value => value.as_float().or(value.as_integer().map(|number| number as f64)),
        };
        match number {
            Some(number) if (0.0..=most).contains(&number) => {
                Ok(Some((number * f64::from(scale)).round() as u32))
            }
            _ => Err(wrong(
                section,
                key,
                value,
                &format!("a share from 0 to {most} is needed, such as 0.2 or \"20 %\""),
            )),
        }
    }
}

/// Units of a kind of number.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// What to tell who writes something else.
    pub needed: &'static str,
    /// Names, whatever their case, and sizes.
    pub units: &'static [(&'static [&'static str], u64)],
    /// Whether several may follow each other: `1h30m`.
    pub sums: bool,
}

/// Seconds.
pub const DURATION: Units = Units {
    needed: "a time such as \"90 s\", \"30 min\", \"1h30m\" or \"1 day\"",
    units: &[
        (&["s", "sec", "secs", "second", "seconds"], 1),
        (&["m", "min", "mins", "minute", "minutes"], 60),
        (&["h", "hr", "hrs", "hour", "hours"], 3600),
        (&["d", "day", "days"], 86_400),
        (&["w", "week", "weeks"], 604_800),
    ],
    sums: true,
};
/// Bytes. A bare letter is what it is in `ulimit`, Docker and Java: a power of two.
pub const BYTES: Units = Units {
    needed: "a size such as \"64 KiB\", \"256 MiB\" or \"1 GB\"",
    units: &[
        (&["B", "byte", "bytes"], 1),
        (&["K", "Ki", "KiB"], 1 << 10),
        (&["M", "Mi", "MiB"], 1 << 20),
        (&["G", "Gi", "GiB"], 1 << 30),
        (&["T", "Ti", "TiB"], 1 << 40),
        (&["KB"], 1_000),
        (&["MB"], 1_000_000),
        (&["GB"], 1_000_000_000),
        (&["TB"], 1_000_000_000_000),
    ],
    sums: false,
};
/// Fuel.
pub const FUEL: Units = Units {
    needed: "an amount of fuel such as \"500 Mfuel\", \"20 Gfuel\" or \"1.5 Tfuel\"",
    units: &[
        (&["fuel"], 1),
        (&["K", "Kfuel"], 1_000),
        (&["M", "Mfuel"], 1_000_000),
        (&["G", "Gfuel"], 1_000_000_000),
        (&["T", "Tfuel"], 1_000_000_000_000),
        (&["P", "Pfuel"], 1_000_000_000_000_000),
    ],
    sums: false,
};

/// Reads a number with one of these units, exact or not at all.
pub fn measure(text: &str, units: Units) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum = 0u64;
    let mut parts = 0;
    while !rest.is_empty() || parts == 0 {
        let (number, after) = decimal(rest)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(unit));
        let size = match unit {
            // A bare number stands alone.
            "" if parts == 0 && next.is_empty() => 1,
            unit => units.units.iter().find(|(names, _)| !unit.is_empty() && named(names))?.1,
        };
        sum = sum
            .checked_add(number.times(size.into()).and_then(|exact| u64::try_from(exact).ok())?)?;
        parts += 1;
        rest = next.trim_start();
        if !rest.is_empty() && !units.sums {
            return None;
        }
    }
    Some(sum)
}

/// A decimal number, exact: `digits / 10^places`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    digits: u128,
    places: i32,
}

impl Decimal {
    /// A multiple, if it is whole.
    fn times(self, size: u128) -> Option<u128> {
        let exact = self.digits.checked_mul(size)?;
        let scale = 10u128.checked_pow(self.places.unsigned_abs());
        match (self.places <= 0, scale) {
            _ if exact == 0 => Some(0),
            (true, scale) => exact.checked_mul(scale?),
            (false, scale) => scale.filter(|scale| exact % scale == 0).map(|scale| exact / scale),
        }
    }
}

/// A number as people write it, without a sign: `12`, `1_000`, `.5`, `1.5e3`; and what follows it.
fn decimal(text: &str) -> Option<(Decimal, &str)> {
    let end =
        text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, mut rest) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part = part.replace('_', "");
    let all = format!("{}{part}", whole.replace('_', ""));
    if number.starts_with('_') || all.is_empty() || !all.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // Zeros at the end say nothing, and may be many.
    let zeros = part.len() - part.trim_end_matches('0').len();
    let mut places = (part.len() - zeros) as i32;
    let digits = all[..all.len() - zeros].trim_start_matches('0');
    let digits = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    if let Some(power) = rest.strip_prefix(['e', 'E']) {
        let sign = usize::from(power.starts_with(['+', '-']));
        let end =
            power[sign..].find(|c: char| !c.is_ascii_digit()).map_or(power.len(), |at| at + sign);
        if end > sign {
            places = places.checked_sub(power[..end].parse::<i32>().ok()?)?;
            rest = &power[end..];
        }
    }
    Some((Decimal { digits, places }, rest))
}

fn wrong(section: &str, key: &str, value: impl std::fmt::Display, needed: &str) -> SettingsError {
    let dot = if section.is_empty() { "" } else { "." };
    SettingsError::Value(format!("{section}{dot}{key} = {value}: {needed}"))
}

/// A decimal amount of tokens in base units; exact, or refused.
///
/// # Errors
/// What is wrong with it.
pub fn base_units(text: &str) -> Result<u128, &'static str> {
    let text = text.trim();
    let Some((amount, "")) = decimal(text.strip_prefix('+').unwrap_or(text)) else {
        return Err("not an amount, such as 0.25");
    };
    match amount.times(10u128.pow(TOKEN_DECIMALS)) {
        Some(units) => Ok(units),
        None if amount.places > TOKEN_DECIMALS as i32 => Err("more than six decimals"),
        None => Err("too large"),
    }
}

/// Refuses a key that does not exist, and says which one may have been meant.
fn known_keys(table: &Table, shape: &[Section]) -> Result<(), SettingsError> {
    let unknown = |text: String| Err(SettingsError::Unknown(text));
    let section_keys =
        |name: &str| shape.iter().find(|(section, _)| *section == name).map(|(_, keys)| *keys);
    let top = section_keys("").unwrap_or_default();
    for (name, value) in table {
        if top.contains(&name.as_str()) {
            continue;
        }
        let Some(keys) = section_keys(name) else {
            // A key outside its section is the commonest slip.
            return match shape.iter().find(|(_, keys)| keys.contains(&name.as_str())) {
                Some((home, _)) => unknown(format!("`{name}` belongs under [{home}]")),
                None => {
                    let sections = shape
                        .iter()
                        .map(|(section, _)| *section)
                        .filter(|section| !section.is_empty());
                    let all: Vec<&str> = sections.chain(top.iter().copied()).collect();
                    let kind = if value.is_table() { "section" } else { "key" };
                    unknown(format!("there is no {kind} `{name}`{}", meant(name, &all)))
                }
            };
        };
        let Value::Table(inner) = value else {
            return unknown(format!("`{name}` is a section: write [{name}]"));
        };
        if keys.contains(&"*") {
            continue;
        }
        if let Some(key) = inner.keys().find(|key| !keys.contains(&key.as_str())) {
            return unknown(format!("there is no key `{name}.{key}`{}", meant(key, keys)));
        }
    }
    Ok(())
}

/// `: did you mean …?`, or what there is.
pub fn meant(given: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (distance(given, name), name)).min();
    match nearest {
        Some((typos, name)) if typos <= MAX_TYPOS.min(name.len().saturating_sub(1)) => {
            format!(": did you mean `{name}`?")
        }
        _ => format!(": there are {}", known.join(", ")),
    }
}

/// Letters to change, add or drop.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let best = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: &[Section] =
        &[("", &["name"]), ("price", &["fuel", "floor"]), ("money", &["credit"])];

    #[test]
    fn unknown_keys_are_refused_with_a_suggestion() {
        let refused = |text: &str| Settings::parse(text, SHAPE).unwrap_err().to_string();
        assert_eq!(
            refused("[price]\nfule = 1"),
            "[C-CFG-004] there is no key `price.fule`: did you mean `fuel`?"
        );
        assert!(refused("[prise]").ends_with("no section `prise`: did you mean `price`?"));
        assert!(refused("nmae = 1").ends_with("no key `nmae`: did you mean `name`?"));
        assert!(refused("floor = 1").ends_with("`floor` belongs under [price]"));
        assert!(refused("[money]\nwhatever_this_is = 1").contains("there are credit"));
        assert!(refused("price = 3").contains("write [price]"));
        assert!(refused("[price").starts_with("[C-CFG-002]"));
    }

    #[test]
    fn numbers_and_units_are_what_people_write() {
        let times = [
            ("90", 90),
            ("90s", 90),
            ("90 sec", 90),
            ("90 Seconds", 90),
            ("30 min", 1_800),
            ("5m", 300),
            ("1 hour", 3_600),
            ("2 h", 7_200),
            ("1.5 h", 5_400),
            ("1h30m", 5_400),
            ("1 h 30 min", 5_400),
            ("2 days", 172_800),
            ("1 W", 604_800),
            ("1d12h", 129_600),
            ("0 s", 0),
            ("1e3 s", 1_000),
            (".5 min", 30),
        ];
        for (text, seconds) in times {
            assert_eq!(measure(text, DURATION), Some(seconds), "{text}");
        }
        let sizes = [
            ("256 MiB", 256 << 20),
            ("256 mib", 256 << 20),
            ("256M", 256 << 20),
            ("256Mi", 256 << 20),
            ("256 MB", 256_000_000),
            ("1 GB", 1_000_000_000),
            ("1 G", 1 << 30),
            ("1 TB", 1_000_000_000_000),
            ("1 KB", 1_000),
            ("1 kB", 1_000),
            ("4k", 4_096),
            ("0.5 MiB", 1 << 19),
            ("268435456", 1 << 28),
            ("12 bytes", 12),
            ("1_024 B", 1_024),
        ];
        for (text, bytes) in sizes {
            assert_eq!(measure(text, BYTES), Some(bytes), "{text}");
        }
        let fuels = [
            ("1e12", 1_000_000_000_000),
            ("20G", 20_000_000_000),
            ("20 gfuel", 20_000_000_000),
            ("1.5Tfuel", 1_500_000_000_000),
            ("1_000", 1_000),
            ("500 Mfuel", 500_000_000),
            ("2k", 2_000),
            ("1.5e3", 1_500),
            ("3E+2 fuel", 300),
            ("2 Pfuel", 2_000_000_000_000_000),
        ];
        for (text, fuel) in fuels {
            assert_eq!(measure(text, FUEL), Some(fuel), "{text}");
        }
        for wrong in [
            "",
            "h",
            "2 fortnights",
            "-1 s",
            "0.1",
            "1.2.3 s",
            "99999999999999999999 d",
            "1h30",
            "1 h x",
            "1,5 h",
            "_1 s",
            ".",
            "e3",
            "1e99 s",
            "1e-3",
            "0x10",
            "1 s s",
            "nan",
            "inf",
        ] {
            assert_eq!(measure(wrong, DURATION), None, "{wrong}");
        }
        for wrong in ["1 MiB 2 KiB", "1 XB", "1.3 B", "1 min"] {
            assert_eq!(measure(wrong, BYTES), None, "{wrong}");
        }
        let any = Settings::parse("[env]\nA = 1\nB = \"x\"", &[("env", &["*"])]).unwrap();
        assert_eq!(any.texts("env").unwrap()["A"], "1");
        assert!(
            Settings::parse("[env]\nA = [1]", &[("env", &["*"])]).unwrap().texts("env").is_err()
        );
    }

    #[test]
    fn values_are_exact_or_refused() {
        assert_eq!(base_units("0.1"), Ok(100_000));
        assert_eq!(base_units("12"), Ok(12_000_000));
        assert_eq!(base_units("0.000001"), Ok(1));
        let written = [
            (".5", 500_000),
            ("1e3", 1_000_000_000),
            ("1e-3", 1_000),
            ("1_000", 1_000_000_000),
            ("0.1000000000", 100_000),
        ];
        for (text, units) in written {
            assert_eq!(base_units(text), Ok(units), "{text}");
        }
        for wrong in [
            "",
            "-1",
            "0.0000001",
            "1e-7",
            "x",
            "1e40",
            "nan",
            "1,5",
            "5 $",
            "999999999999999999999999999999999999999",
        ] {
            assert!(base_units(wrong).is_err(), "{wrong}");
        }
        let settings =
            Settings::parse("name = \"7\"\n[price]\nfuel = 0.3\nfloor = \"0.000007\"", SHAPE)
                .unwrap();
        assert_eq!(settings.amount("price", "fuel").unwrap(), Some(300_000));
        assert_eq!(settings.amount("price", "floor").unwrap(), Some(7));
        assert_eq!(settings.share("price", "fuel", 1.0, 1_000_000).unwrap(), Some(300_000));
        assert_eq!(settings.parsed::<u64>("", "name", "a number").unwrap(), Some(7));
        assert_eq!(
            settings.list::<String>("", "name", "texts").unwrap(),
            Some(vec!["7".to_owned()])
        );
        let loose = Settings::parse(
            "[price]\nfuel = \"4\"\nfloor = 4.0\n[money]\ncredit = \"20 %\"",
            SHAPE,
        )
        .unwrap();
        assert_eq!(loose.number("price", "fuel", 0, 9).unwrap(), Some(4));
        assert_eq!(loose.number("price", "floor", 0, 9).unwrap(), Some(4));
        assert_eq!(loose.share("money", "credit", 1.0, 10_000).unwrap(), Some(2_000));
        assert!(
            settings
                .number("price", "fuel", 0, 9)
                .unwrap_err()
                .to_string()
                .starts_with("[C-CFG-003] price.fuel")
        );
        assert!(settings.text("price", "fuel").is_err());
        assert_eq!(settings.amount("money", "credit").unwrap(), None);
    }
}
