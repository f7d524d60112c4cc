//! `provider.toml`: what is sold, at what price, and what is risked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rialto_client::settings::{Section, Settings, TOKEN_DECIMALS};
use rialto_protocol::Address;
use rialto_provider::{AskConfig, Limits, Money, Price};

use super::PlaceArgs;

/// A whole, in basis points.
const BPS: u32 = 10_000;
/// The file that `rialto provide --init` writes.
pub const TEMPLATE: &str = include_str!("provider.toml");
/// Every key that there is.
const KEYS: &[Section] = &[
    ("price", &["fuel", "floor", "fall_minutes", "task_fee"]),
    (
        "deal",
        &[
            "min_budget",
            "max_budget",
            "collateral",
            "late_penalty",
            "max_hours",
            "capacity",
            "court",
            "ask_minutes",
        ],
    ),
    ("machine", &["cores", "memory_mib", "fuel_per_second", "disk_gib", "watchtower"]),
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
    (
        "money",
        &[
            "credit",
            "coin",
            "tx_worth",
            "redeem_at",
            "redeem_times",
            "redeem_every_hours",
            "redeem_hours",
            "claim_minutes",
        ],
    ),
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
    /// The court that judges deals, zero for none; `None`: the one that was deployed with the
    /// market.
    pub court: Option<Address>,
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
    /// Folder of dossiers for a watchtower, from the home folder.
    pub watchtower: Option<PathBuf>,
}

impl Selling {
    /// Reads a file; every default where there is none.
    pub fn read(path: &Path) -> Result<Self> {
        Settings::read(path, KEYS)
            .map_err(anyhow::Error::from)
            .and_then(Self::from_settings)
            .with_context(|| format!("{} can't be used", path.display()))
    }

    /// Reads the text of a file.
    #[cfg(test)]
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_settings(Settings::parse(text, KEYS)?)
    }

    fn from_settings(file: Settings) -> Result<Self> {
        let (mut asks, mut limits, mut money) =
            (AskConfig::default(), Limits::default(), Money::default());
        asks.price = price(&file)?;
        set(&mut asks.task_fee, file.amount("price", "task_fee")?);
        asks.min_budget =
            file.amount("deal", "min_budget")?.unwrap_or(10u128.pow(TOKEN_DECIMALS) / 100);
        set(&mut asks.max_budget, file.amount("deal", "max_budget")?);
        ensure!(
            asks.min_budget <= asks.max_budget,
            failure!(Usage, "P-CFG-003", "deal.min_budget is above deal.max_budget")
        );
        set(&mut asks.collateral_bps, file.share("deal", "collateral", 10.0, BPS)?);
        set(&mut asks.late_penalty_bps, file.share("deal", "late_penalty", 1.0, BPS)?);
        let hours = |hours| u32::try_from(hours * 3600).unwrap_or(u32::MAX);
        set(&mut asks.max_deal_seconds, file.number("deal", "max_hours", 1, 24 * 365)?.map(hours));
        set(&mut asks.capacity, file.small("deal", "capacity", 100_000)?);
        set(
            &mut asks.valid_seconds,
            file.number("deal", "ask_minutes", 2, 24 * 60)?.map(|minutes| minutes * 60),
        );

        set(&mut limits.order_tasks, file.small("limits", "order_tasks", 1 << 20)?);
        set(
            &mut limits.task_fuel,
            file.number("limits", "task_tfuel", 1, 1 << 20)?.map(|tfuel| tfuel * 1_000_000_000_000),
        );
        set(
            &mut limits.task_pages,
            file.small("limits", "task_memory_mib", 4096)?.map(|mib| mib * 16),
        );
        let mib = |key, most| {
            Ok::<_, anyhow::Error>(file.number("limits", key, 1, most)?.map(|mib| mib << 20))
        };
        set(&mut limits.task_out_bytes, mib("task_output_mib", 1 << 20)?);
        set(&mut limits.order_out_bytes, mib("order_output_mib", 1 << 20)?);
        set(&mut limits.program_bytes, mib("program_mib", 1 << 10)?);
        set(&mut limits.input_bytes, mib("input_mib", 1 << 12)?);
        set(&mut limits.shared_bytes, mib("shared_mib", 1 << 20)?);
        set(
            &mut limits.queue_orders,
            file.number("limits", "queue_orders", 1, 1 << 16)?.map(|n| n as usize),
        );
        set(
            &mut limits.deal_orders,
            file.number("limits", "deal_orders", 1, 1 << 12)?.map(|n| n as usize),
        );

        set(&mut money.credit_window, file.amount("money", "credit")?);
        set(&mut money.tx_worth, file.amount("money", "tx_worth")?);
        set(&mut money.redeem_at, file.amount("money", "redeem_at")?);
        set(&mut money.redeem_times, file.small("money", "redeem_times", u32::MAX)?);
        set(
            &mut money.redeem_every_seconds,
            file.number("money", "redeem_every_hours", 1, 24 * 365)?.map(|hours| hours * 3600),
        );
        set(
            &mut money.redeem_margin_seconds,
            file.number("money", "redeem_hours", 0, 24 * 365)?.map(|h| h * 3600),
        );
        set(
            &mut money.claim_after_seconds,
            file.number("money", "claim_minutes", 1, 60 * 24 * 30)?.map(|m| m * 60),
        );
        Ok(Self {
            coin: file.amount("money", "coin")?,
            cores: file.small("machine", "cores", 1024)?,
            memory_bytes: file.number("machine", "memory_mib", 64, 1 << 24)?.map(|mib| mib << 20),
            fuel_per_second: file.number("machine", "fuel_per_second", 1, 1 << 50)?,
            court: court(&file)?,
            watchtower: file.text("machine", "watchtower")?.map(PathBuf::from),
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

fn price(file: &Settings) -> Result<Price> {
    let price = file.amount("price", "fuel")?.unwrap_or(10u128.pow(TOKEN_DECIMALS));
    let fall = file.number("price", "fall_minutes", 1, 60 * 24 * 30)?;
    let Some(floor) = file.amount("price", "floor")? else {
        ensure!(
            fall.is_none(),
            failure!(
                Usage,
                "P-CFG-003",
                "price.fall_minutes needs price.floor: where the fall ends"
            )
        );
        return Ok(Price::Constant(price));
    };
    ensure!(floor <= price, failure!(Usage, "P-CFG-003", "price.floor is above price.fuel"));
    Ok(Price::Idle { price, floor, seconds: fall.unwrap_or(30) * 60 })
}

fn court(file: &Settings) -> Result<Option<Address>> {
    match file.text("deal", "court")? {
        None => Ok(None),
        Some("none") => Ok(Some(Address::ZERO)),
        Some(text) => match text.parse() {
            Ok(court) => Ok(Some(court)),
            Err(_) => bail!(failure!(
                Usage,
                "P-CFG-003",
                "deal.court = \"{text}\" is neither an address nor \"none\""
            )),
        },
    }
}

/// What this home's provider lets a deal owe, base units; none where its configuration can't be
/// read.
pub fn credit(place: &PlaceArgs) -> Option<u128> {
    let file = place.home().ok()?.path().join("provider.toml");
    Some(Selling::read(&file).ok()?.money.credit_window)
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
                Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
                    rest
                }
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n");
        let all = Selling::parse(&all).unwrap();
        assert_eq!(
            (&all.limits, all.court, empty.court),
            (&empty.limits, Some(Address::ZERO), None)
        );
        assert_eq!(all.asks.min_budget, empty.asks.min_budget);
        assert_eq!(all.asks.max_budget, empty.asks.max_budget);
        assert_eq!(
            all.asks.price,
            Price::Idle { price: 1_000_000, floor: 500_000, seconds: 1_800 }
        );
        assert_eq!(all.coin, Some(3_000_000_000));
        for (_, keys) in KEYS {
            assert!(keys.iter().all(|key| TEMPLATE.contains(&format!("{key} = "))), "{keys:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |text: &str| format!("{:#}", Selling::parse(text).unwrap_err());
        assert!(
            refused("[price]\nfule = 1").ends_with("no key `price.fule`: did you mean `fuel`?")
        );
        assert!(refused("[price]\nfloor = 2\nfuel = 1").starts_with("[P-CFG-003]"));
        assert!(refused("[price]\nfall_minutes = 2").starts_with("[P-CFG-003]"));
        assert!(refused("[deal]\ncollateral = -1").starts_with("[C-CFG-003]"));
        assert!(refused("[machine]\ncores = 0").starts_with("[C-CFG-003]"));
        assert!(refused("[deal]\ncourt = \"me\"").starts_with("[P-CFG-003]"));
        let selling = Selling::parse("[price]\nfuel = 0.3\ntask_fee = \"0.000007\"").unwrap();
        assert_eq!((selling.asks.price, selling.asks.task_fee), (Price::Constant(300_000), 7));
    }
}
