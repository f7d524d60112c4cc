//! `provider.toml`: what is sold, at what price, and what is risked.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rialto_protocol::Address;
use rialto_provider::{AskConfig, Limits, Money, Price};
use toml::{Table, Value};

use crate::print::TOKEN_DECIMALS;

/// The file that `rialto provide --init` writes.
pub const TEMPLATE: &str = include_str!("template.toml");
/// Largest configuration file, bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Letters that may differ between a key and the one that was meant.
const MAX_TYPOS: usize = 3;
/// Every key that there is.
const KEYS: &[(&str, &[&str])] = &[
    ("price", &["fuel", "floor", "fall_minutes", "task_fee"]),
    (
        "deal",
        &["min_budget", "max_budget", "collateral", "late_penalty", "max_hours", "capacity", "court", "ask_minutes"],
    ),
    ("machine", &["cores", "memory_mib", "fuel_per_second", "disk_gib"]),
    (
        "limits",
        &[
            "order_tasks",
            "task_tfuel",
            "task_memory_mib",
            "task_output_mib",
            "order_output_mib",
            "program_mib",
            "input_mib",
            "shared_mib",
            "queue_orders",
            "deal_orders",
        ],
    ),
    ("money", &["credit", "coin", "tx_worth", "redeem_at", "redeem_hours", "claim_minutes"]),
];

/// A price configuration. What the machine has is filled in later.
#[derive(Clone, Debug)]
pub struct Selling {
    /// Offers, without `cores` and `fuel_per_second` unless the file says them.
    pub asks: AskConfig,
    /// What is accepted.
    pub limits: Limits,
    /// What is risked.
    pub money: Money,
    /// Worth of a whole native coin, base units.
    pub coin: Option<u128>,
    /// Cores to sell.
    pub cores: Option<u32>,
    /// Memory to sell, bytes.
    pub memory_bytes: Option<u64>,
    /// Fuel per second and core.
    pub fuel_per_second: Option<u64>,
    /// Blob store, bytes.
    pub disk_bytes: Option<u64>,
}

impl Selling {
    /// Reads a file; every default where there is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("[P-CFG-001] {}", path.display())),
            Ok(file) if file.len() > MAX_FILE_BYTES => bail!("[P-CFG-001] {} is too large", path.display()),
            Ok(_) => std::fs::read_to_string(path).with_context(|| format!("[P-CFG-001] {}", path.display()))?,
        };
        Self::parse(&text).with_context(|| format!("{} can't be used", path.display()))
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self> {
        let table: Table = toml::from_str(text).context("[P-CFG-002] not TOML")?;
        known_keys(&table)?;
        let file = File(table);
        let (mut asks, mut limits, mut money) = (AskConfig::default(), Limits::default(), Money::default());
        asks.price = file.price()?;
        set(&mut asks.task_fee, file.amount("price", "task_fee")?);
        asks.min_budget = file.amount("deal", "min_budget")?.unwrap_or(10u128.pow(TOKEN_DECIMALS) / 100);
        set(&mut asks.max_budget, file.amount("deal", "max_budget")?);
        ensure!(asks.min_budget <= asks.max_budget, "[P-CFG-003] deal.min_budget is above deal.max_budget");
        set(&mut asks.collateral_bps, file.share("deal", "collateral", 10.0)?);
        set(&mut asks.late_penalty_bps, file.share("deal", "late_penalty", 1.0)?);
        let hours = |hours| u32::try_from(hours * 3600).unwrap_or(u32::MAX);
        set(&mut asks.max_deal_seconds, file.number("deal", "max_hours", 1, 24 * 365)?.map(hours));
        set(&mut asks.capacity, file.small("deal", "capacity", 100_000)?);
        set(&mut asks.valid_seconds, file.number("deal", "ask_minutes", 2, 24 * 60)?.map(|minutes| minutes * 60));
        set(&mut asks.court, file.court()?);

        set(&mut limits.order_tasks, file.small("limits", "order_tasks", 1 << 20)?);
        set(
            &mut limits.task_fuel,
            file.number("limits", "task_tfuel", 1, 1 << 20)?.map(|tfuel| tfuel * 1_000_000_000_000),
        );
        set(&mut limits.task_pages, file.small("limits", "task_memory_mib", 4096)?.map(|mib| mib * 16));
        let mib = |key, most| Ok::<_, anyhow::Error>(file.number("limits", key, 1, most)?.map(|mib| mib << 20));
        set(&mut limits.task_out_bytes, mib("task_output_mib", 1 << 20)?);
        set(&mut limits.order_out_bytes, mib("order_output_mib", 1 << 20)?);
        set(&mut limits.program_bytes, mib("program_mib", 1 << 10)?);
        set(&mut limits.input_bytes, mib("input_mib", 1 << 12)?);
        set(&mut limits.shared_bytes, mib("shared_mib", 1 << 20)?);
        set(&mut limits.queue_orders, file.number("limits", "queue_orders", 1, 1 << 16)?.map(|n| n as usize));
        set(&mut limits.deal_orders, file.number("limits", "deal_orders", 1, 1 << 12)?.map(|n| n as usize));

        set(&mut money.credit_window, file.amount("money", "credit")?);
        set(&mut money.tx_worth, file.amount("money", "tx_worth")?);
        set(&mut money.redeem_at, file.amount("money", "redeem_at")?);
        set(&mut money.redeem_margin_seconds, file.number("money", "redeem_hours", 0, 24 * 365)?.map(|h| h * 3600));
        set(&mut money.claim_after_seconds, file.number("money", "claim_minutes", 1, 60 * 24 * 30)?.map(|m| m * 60));
        Ok(Self {
            coin: file.amount("money", "coin")?,
            cores: file.small("machine", "cores", 1024)?,
            memory_bytes: file.number("machine", "memory_mib", 64, 1 << 24)?.map(|mib| mib << 20),
            fuel_per_second: file.number("machine", "fuel_per_second", 1, 1 << 50)?,
            disk_bytes: file.number("machine", "disk_gib", 1, 1 << 20)?.map(|gib| gib << 30),
            asks,
            limits,
            money,
        })
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// Refuses a key that does not exist, and says which one may have been meant.
fn known_keys(table: &Table) -> Result<()> {
    for (section, value) in table {
        let names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
        let Some((_, keys)) = KEYS.iter().find(|(name, _)| name == section) else {
            // A key outside its section is the commonest slip.
            let home = KEYS.iter().find(|(_, keys)| keys.contains(&section.as_str()));
            match home {
                Some((home, _)) => bail!("[P-CFG-004] `{section}` belongs under [{home}]"),
                None => bail!("[P-CFG-004] there is no section `{section}`{}", meant(section, &names)),
            }
        };
        let Value::Table(inner) = value else { bail!("[P-CFG-004] `{section}` is a section: write [{section}]") };
        if let Some(key) = inner.keys().find(|key| !keys.contains(&key.as_str())) {
            bail!("[P-CFG-004] there is no key `{section}.{key}`{}", meant(key, keys));
        }
    }
    Ok(())
}

fn meant(given: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (distance(given, name), name)).min();
    match nearest {
        Some((typos, name)) if typos <= MAX_TYPOS => format!(": did you mean `{name}`?"),
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

struct File(Table);

impl File {
    fn get(&self, section: &str, key: &str) -> Option<&Value> {
        self.0.get(section)?.get(key)
    }

    fn price(&self) -> Result<Price> {
        let price = self.amount("price", "fuel")?.unwrap_or(10u128.pow(TOKEN_DECIMALS));
        let fall = self.number("price", "fall_minutes", 1, 60 * 24 * 30)?;
        let Some(floor) = self.amount("price", "floor")? else {
            ensure!(fall.is_none(), "[P-CFG-003] price.fall_minutes needs price.floor: where the fall ends");
            return Ok(Price::Constant(price));
        };
        ensure!(floor <= price, "[P-CFG-003] price.floor is above price.fuel");
        Ok(Price::Idle { price, floor, seconds: fall.unwrap_or(30) * 60 })
    }

    fn court(&self) -> Result<Option<Address>> {
        match self.get("deal", "court") {
            None => Ok(None),
            Some(Value::String(none)) if none == "none" => Ok(Some(Address::ZERO)),
            Some(Value::String(text)) => match text.parse() {
                Ok(court) => Ok(Some(court)),
                Err(_) => bail!("[P-CFG-003] deal.court = \"{text}\" is neither an address nor \"none\""),
            },
            Some(other) => bail!("[P-CFG-003] deal.court = {other}: write an address in quotes, or \"none\""),
        }
    }

    fn amount(&self, section: &str, key: &str) -> Result<Option<u128>> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            // The shortest text that means this number is what was written.
            Value::Float(number) => number.to_string(),
            other => bail!("[P-CFG-003] {section}.{key} = {other}: write an amount of tokens, such as 0.25"),
        };
        base_units(&text).with_context(|| format!("[P-CFG-003] {section}.{key} = {text}")).map(Some)
    }

    fn number(&self, section: &str, key: &str, least: u64, most: u64) -> Result<Option<u64>> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        match value.as_integer().and_then(|number| u64::try_from(number).ok()) {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => bail!("[P-CFG-003] {section}.{key} = {value}: a whole number from {least} to {most} is needed"),
        }
    }

    fn small(&self, section: &str, key: &str, most: u32) -> Result<Option<u32>> {
        Ok(self.number(section, key, 1, most.into())?.map(|number| number as u32))
    }

    /// A share of one as 1/10_000.
    fn share(&self, section: &str, key: &str, most: f64) -> Result<Option<u32>> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let number = value.as_float().or(value.as_integer().map(|number| number as f64));
        match number {
            Some(number) if (0.0..=most).contains(&number) => Ok(Some((number * 10_000.0).round() as u32)),
            _ => bail!("[P-CFG-003] {section}.{key} = {value}: a share from 0 to {most} is needed, such as 0.2"),
        }
    }
}

/// A decimal amount of tokens in base units; exact, or refused.
pub fn base_units(text: &str) -> Result<u128> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    ensure!(!whole.is_empty() && digits(whole) && digits(part), "not an amount, such as 0.25");
    ensure!(part.len() <= TOKEN_DECIMALS as usize, "more than {TOKEN_DECIMALS} decimals");
    let amount = format!("{whole}{part:0<width$}", width = TOKEN_DECIMALS as usize);
    amount.parse().context("too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_the_default() {
        let (template, empty) = (Selling::parse(TEMPLATE).unwrap(), Selling::parse("").unwrap());
        assert_eq!(format!("{template:?}"), format!("{empty:?}"));
        // Every commented line is a key that exists, with its default.
        let all: String = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest,
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n");
        let all = Selling::parse(&all).unwrap();
        assert_eq!((&all.limits, all.asks.court), (&empty.limits, empty.asks.court));
        assert_eq!(all.asks.min_budget, empty.asks.min_budget);
        assert_eq!(all.asks.max_budget, empty.asks.max_budget);
        assert_eq!(all.asks.price, Price::Idle { price: 1_000_000, floor: 500_000, seconds: 1_800 });
        assert_eq!(all.coin, Some(3_000_000_000));
        for (_, keys) in KEYS {
            assert!(keys.iter().all(|key| TEMPLATE.contains(&format!("{key} = "))), "{keys:?}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_a_suggestion() {
        let refused = |text: &str| format!("{:#}", Selling::parse(text).unwrap_err());
        assert!(refused("[price]\nfule = 1").ends_with("no key `price.fule`: did you mean `fuel`?"));
        assert!(refused("[prise]").ends_with("no section `prise`: did you mean `price`?"));
        assert!(refused("floor = 1").ends_with("`floor` belongs under [price]"));
        assert!(refused("[money]\nwhatever_this_is = 1").contains("there are credit, coin"));
        assert!(refused("price = 3").contains("write [price]"));
        assert!(refused("[price]\nfloor = 2\nfuel = 1").starts_with("[P-CFG-003]"));
        assert!(refused("[price]\nfall_minutes = 2").starts_with("[P-CFG-003]"));
        assert!(refused("[deal]\ncollateral = -1").starts_with("[P-CFG-003]"));
        assert!(refused("[machine]\ncores = 0").starts_with("[P-CFG-003]"));
        assert!(refused("[deal]\ncourt = \"me\"").starts_with("[P-CFG-003]"));
        assert!(refused("[price").starts_with("[P-CFG-002]"));
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(base_units("0.1").unwrap(), 100_000);
        assert_eq!(base_units("12").unwrap(), 12_000_000);
        assert_eq!(base_units("0.000001").unwrap(), 1);
        for wrong in ["", "-1", "1e3", ".5", "0.0000001", "x", "999999999999999999999999999999999999999"] {
            assert!(base_units(wrong).is_err(), "{wrong}");
        }
        let selling = Selling::parse("[price]\nfuel = 0.3\ntask_fee = \"0.000007\"").unwrap();
        assert_eq!((selling.asks.price, selling.asks.task_fee), (Price::Constant(300_000), 7));
    }
}
