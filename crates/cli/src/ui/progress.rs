//! Bars on standard error, where it is a terminal that can show them.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, where there is a terminal that can show one.
pub fn bar_of(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━━╌"));
    if !super::has_bars() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// A bar, or a wheel where the end is not known, on a terminal.
pub fn bar(end: Option<u64>, what: &str) -> ProgressBar {
    let (bar, template) = match end {
        Some(end) => (
            ProgressBar::new(end.max(1)),
            "  {prefix} {bar:40.green/black.dim} {percent} % {msg}  {elapsed}",
        ),
        None => (ProgressBar::new_spinner(), "  {spinner} {prefix} {msg}  {elapsed}"),
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━━╌"));
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}
