//! `rialto doctor`: looks whether everything that commands need works here, and says what to do
//! about what doesn't.

mod chain;
mod here;

use anyhow::Result;
use clap::Args;
use rialto_client::view::{self, Check, CheckState};

use crate::{
    env::PlaceArgs,
    exit,
    ui::{Paint, Ui},
};

/// `rialto doctor`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto doctor
  rialto doctor --rpc https://rpc.example.org --market 0x5FbD…
  rialto doctor --output json | jq '.checks[] | select(.state != \"ok\")'

Changes nothing, sends no transaction and asks for no passphrase. Exit code 1 if something failed; warnings are not failures.")]
pub struct Doctor {}

/// A check that went well.
fn well(name: &str, found: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        state: CheckState::Ok,
        found: found.into(),
        code: None,
        what_to_do: None,
    }
}

/// A check whose result is not what it should be.
fn warning(
    name: &str,
    code: &str,
    found: impl Into<String>,
    what_to_do: impl Into<String>,
) -> Check {
    Check {
        name: name.to_owned(),
        state: CheckState::Warning,
        found: found.into(),
        code: Some(code.to_owned()),
        what_to_do: Some(what_to_do.into()),
    }
}

/// A check that found something which does not work.
fn failed(
    name: &str,
    code: &str,
    found: impl Into<String>,
    what_to_do: impl Into<String>,
) -> Check {
    Check { state: CheckState::Failed, ..warning(name, code, found, what_to_do) }
}

/// Looks at everything, and tells.
pub async fn doctor(_: &Doctor, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let home = place.home()?;
    let mut checks = vec![here::home(&home), here::space(&home), here::keys(&home)];
    checks.extend([here::open_files(), here::processor(), here::memory()]);
    checks.push(tokio::task::spawn_blocking(here::engine).await?);
    checks.push(here::loopback());
    checks.extend(chain::checks(place).await);
    let count = |state: CheckState| checks.iter().filter(|check| check.state == state).count();
    let [ok, warnings, failed] =
        [CheckState::Ok, CheckState::Warning, CheckState::Failed].map(count);
    let paint = Paint::for_stdout();
    let mut lines: Vec<String> = checks.iter().map(|check| line(check, paint)).collect();
    lines.push(format!("{ok} ok, {warnings} warnings, {failed} failed"));
    ui.answer(&lines.join("\n"), || view::Diagnosis { checks, ok, warnings, failed });
    Ok(if failed > 0 { exit::FAILED } else { exit::OK })
}

fn line(check: &Check, paint: Paint) -> String {
    let state = match check.state {
        CheckState::Ok => paint.good("ok     "),
        CheckState::Warning => paint.bold("warning"),
        CheckState::Failed => paint.bad("failed "),
    };
    let mut text = format!("{state}  {:<10} {}", check.name, check.found);
    if let (Some(code), Some(what_to_do)) = (&check.code, &check.what_to_do) {
        text.push_str(&format!("\n{:>22}[{code}] {what_to_do}", ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_to_do() {
        let paint = Paint::for_stdout();
        assert_eq!(line(&well("space", "9 GiB"), paint), "ok       space      9 GiB");
        let bad = failed("space", "C-DOC-002", "none", "make some");
        assert!(line(&bad, paint).ends_with("\n                      [C-DOC-002] make some"));
    }
}
