//! Templates: text with `{names}` that each task fills in; `{{` and `}}` are braces, `{name:04}`
//! fills up with zeros.

use super::{JobFileError, Source};
use crate::settings::meant;

/// Most digits that a name is filled up to.
const MAX_WIDTH: usize = 40;

/// A template that was read once, for many tasks.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// A value, by its place among the names, and at least so many digits.
    Value(usize, usize),
}

impl Template {
    /// Reads a template in which these names may stand.
    ///
    /// # Errors
    /// `C-JOB-004`.
    pub fn new(template: &str, names: &[&str]) -> Result<Self, JobFileError> {
        let wrong = |why: String| JobFileError::Template { template: template.to_owned(), why };
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(wrong("a `}` without its `{`: write `}}` for a brace".into()));
            }
            let Some((name, after)) = rest.split_once('}') else {
                return Err(wrong("a `{` without its `}`: write `{{` for a brace".into()));
            };
            let (name, width) = match name.split_once(':') {
                None => (name, 0),
                Some((name, form)) => {
                    match form.strip_prefix('0').and_then(|width| width.parse().ok()) {
                        Some(width) if width <= MAX_WIDTH => (name, width),
                        _ => {
                            return Err(wrong(format!(
                                "{{{name}:{form}}} is no form: {{{name}:04}} has at least four digits"
                            )));
                        }
                    }
                }
            };
            let Some(place) = names.iter().position(|known| *known == name) else {
                return Err(wrong(format!("there is no {{{name}}} here{}", meant(name, names))));
            };
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Value(place, width));
            rest = after;
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Ok(Self(parts))
    }

    /// Fills it in for a task.
    pub fn fill(&self, source: &Source, task: u32) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(place, 0) => source.put(task, *place, &mut out),
                Part::Value(place, width) => {
                    let mut value = String::new();
                    source.put(task, *place, &mut value);
                    let (sign, digits) = if value.starts_with('-') {
                        value.split_at(1)
                    } else {
                        ("", value.as_str())
                    };
                    out.push_str(sign);
                    out.extend(std::iter::repeat_n(
                        '0',
                        width.saturating_sub(value.chars().count()),
                    ));
                    out.push_str(digits);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_braces_stay() {
        let source = Source::Matrix(vec![
            ("spot".to_owned(), vec!["90".to_owned(), "-7".to_owned()]),
            ("x".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
        ]);
        let fill = |template: &str| {
            Template::new(template, &source.names()).map(|template| template.fill(&source, 3))
        };
        let table = [
            ("--spot={spot}/{task} {{x}}", "--spot=-7/3 {x}"),
            ("", ""),
            ("{x}{x}", "bb"),
            ("{task:04}", "0003"),
            ("{spot:03} {spot:02} {spot:01}", "-07 -7 -7"),
            ("{{{task}}}", "{3}"),
            ("ä{x}ö", "äbö"),
        ];
        for (template, filled) in table {
            assert_eq!(fill(template).unwrap(), filled, "{template}");
        }
        let refused = |template| fill(template).unwrap_err().to_string();
        assert!(refused("{spto}").ends_with("there is no {spto} here: did you mean `spot`?"));
        assert!(
            refused("{task:4}").contains("is no form")
                && refused("{task:0999}").contains("is no form")
        );
        assert!(refused("{spot").contains("without its `}`"));
        assert!(refused("spot}").contains("without its `{`"));
    }
}
