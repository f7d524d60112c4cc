//! Exit codes: the same for the same kind of trouble, whatever the command.

/// All went well.
pub const OK: u8 = 0;
/// Failed in a way that no other code names.
pub const FAILED: u8 = 1;
/// The command line, a configuration or a job file can't be used (clap's own code, too).
pub const USAGE: u8 = 2;
/// No market, or no provider for what is asked.
pub const NO_MARKET: u8 = 3;
/// The wallet or a key can't be used.
pub const NO_KEY: u8 = 4;
/// Not enough money, or the chain refused the transaction.
pub const NO_MONEY: u8 = 5;
/// `run`: the program ran out of fuel.
pub const OUT_OF_FUEL: u8 = 124;
/// `run`: Rialto itself failed; the program's own codes are below.
pub const RUN_FAILED: u8 = 125;
/// `run`: the program trapped.
pub const TRAPPED: u8 = 126;
/// Ended by Ctrl-C, as shells count it.
pub const INTERRUPTED: u8 = 130;

/// Which errors, by the beginning of their code, end with which exit code. The first that fits counts.
const TABLE: &[(&str, u8)] = &[
    ("C-CFG", USAGE),
    ("P-CFG", USAGE),
    ("C-JOB-010", FAILED),
    ("C-JOB-014", FAILED),
    ("C-JOB-016", FAILED),
    ("C-JOB", USAGE),
    ("R-JOB-00", USAGE),
    ("R-JOB-01", NO_MARKET),
    ("R-JOB-021", NO_MARKET),
    ("R-JOB-026", NO_MONEY),
    ("R-SVC-006", NO_MONEY),
    ("C-HOM-002", USAGE),
    ("C-DEM-001", USAGE),
    ("C-DEM-002", USAGE),
    ("C-BCH-001", USAGE),
    ("C-CHK", USAGE),
    ("C-DPL", USAGE),
    ("C-DEAL-001", USAGE),
    ("C-DEAL-002", USAGE),
    ("C-DEAL-003", USAGE),
    ("C-RPL-001", USAGE),
    ("C-RPL-002", USAGE),
    ("C-DSP-001", USAGE),
    ("C-DSP-002", USAGE),
    ("C-DSP-003", USAGE),
    ("C-DSP-008", USAGE),
    ("C-DSP-009", NO_MONEY),
    ("C-DSP-010", USAGE),
    ("C-DSP-020", USAGE),
    ("C-DSP-021", USAGE),
    ("C-WCH-001", USAGE),
    ("P-TWR-006", NO_MONEY),
    ("C-HIS", NO_MARKET),
    ("C-MKT-002", USAGE),
    ("C-MKT-003", USAGE),
    ("C-MKT-006", USAGE),
    ("C-MKT", NO_MARKET),
    ("C-00", NO_MARKET),
    ("C-010", NO_MARKET),
    ("C-011", USAGE),
    ("C-012", NO_MARKET),
    ("C-013", USAGE),
    ("W-013", NO_MONEY),
    ("W-", NO_KEY),
    ("P-KEY", NO_KEY),
    ("S-006", NO_MONEY),
    ("S-007", NO_MONEY),
    // The market contract's refusals. `M-GATE` and the like are the machine's: a program that it does not take.
    ("M-0", NO_MONEY),
    // A court's.
    ("J-0", NO_MONEY),
];

/// The code of an error's text, such as `C-MKT-001`.
pub fn code_of(text: &str) -> Option<&str> {
    let code = text.split_once('[')?.1.split_once(']')?.0;
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    (code.contains('-') && code.len() <= 16 && code.chars().all(fits)).then_some(code)
}

/// What a failure ends with: the first cause that has a code decides.
pub fn for_error(error: &anyhow::Error) -> u8 {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut codes = texts.iter().filter_map(|text| code_of(text));
    let exit = |code: &str| TABLE.iter().find(|(start, _)| code.starts_with(start)).map(|(_, exit)| *exit);
    codes.find_map(exit).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_end_with_what_is_documented() {
        let ends = |text: &'static str| for_error(&anyhow::anyhow!(text).context("something else"));
        assert_eq!(ends("[C-MKT-001] which market?"), NO_MARKET);
        assert_eq!(ends("[C-MKT-002] half of it"), USAGE);
        assert_eq!(ends("[W-006] wrong"), NO_KEY);
        assert_eq!(ends("[C-001] no answer"), NO_MARKET);
        assert_eq!(ends("[C-CTL-001] socket"), FAILED);
        assert_eq!(ends("[M-003] too little in the market"), NO_MONEY);
        assert_eq!(ends("[M-GATE-001] not a module"), FAILED);
        assert_eq!(ends("an array [1, 2] without a code"), FAILED);
        assert_eq!(code_of("x: [S-007] no gas"), Some("S-007"));
        assert_eq!(code_of("[0] [a-b]"), None);
    }
}
