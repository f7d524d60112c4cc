//! `rialto doctor`: looks whether everything that commands need works here, and says what to do about what doesn't.

mod chain;
mod here;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::{
    env::PlaceArgs,
    exit,
    ui::{Output, Paint, either},
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

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It works.
    Ok,
    /// It works, but not well, or not for everything.
    Warning,
    /// It does not work.
    Failed,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do about it: the code, and a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_to_do: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), code: None, what_to_do: None }
    }

    fn warning(
        name: &'static str,
        code: &'static str,
        found: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Self {
        let what_to_do = Some(what_to_do.into());
        Self { name, state: State::Warning, found: found.into(), code: Some(code), what_to_do }
    }

    fn failed(name: &'static str, code: &'static str, found: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { state: State::Failed, ..Self::warning(name, code, found, what_to_do) }
    }
}

/// Looks at everything, and tells.
pub async fn doctor(_: &Doctor, place: &PlaceArgs, format: Output) -> Result<u8> {
    let home = place.home()?;
    let mut checks = vec![here::home(&home), here::space(&home), here::keys(&home)];
    checks.extend([here::open_files(), here::processor(), here::memory()]);
    checks.push(tokio::task::spawn_blocking(here::engine).await?);
    checks.push(here::loopback());
    checks.extend(chain::checks(place).await);
    let count = |state: State| checks.iter().filter(|check| check.state == state).count();
    let (ok, warnings, failed) = (count(State::Ok), count(State::Warning), count(State::Failed));
    let paint = Paint::for_stdout();
    let mut lines: Vec<String> = checks.iter().map(|check| line(check, paint)).collect();
    lines.push(format!("{ok} ok, {warnings} warnings, {failed} failed"));
    either(format, &lines.join("\n"), || json!({ "checks": checks, "ok": ok, "warnings": warnings, "failed": failed }));
    Ok(if failed > 0 { exit::FAILED } else { exit::OK })
}

fn line(check: &Check, paint: Paint) -> String {
    let state = match check.state {
        State::Ok => paint.good("ok     "),
        State::Warning => paint.bold("warning"),
        State::Failed => paint.bad("failed "),
    };
    let mut text = format!("{state}  {:<10} {}", check.name, check.found);
    if let (Some(code), Some(what_to_do)) = (check.code, &check.what_to_do) {
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
        assert_eq!(line(&Check::ok("space", "9 GiB"), paint), "ok       space      9 GiB");
        let bad = Check::failed("space", "C-DOC-002", "none", "make some");
        assert!(line(&bad, paint).ends_with("\n                      [C-DOC-002] make some"));
    }
}
