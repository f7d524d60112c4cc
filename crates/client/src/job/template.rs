//! Templates: text with `{names}` that each task fills in; `{{` and `}}` are braces, `{name:04}` fills up with zeros.

use super::JobFileError;
use crate::settings::meant;

/// Most digits that a name is filled up to.
const MAX_WIDTH: usize = 40;

/// Fills in a template.
///
/// # Errors
/// `C-JOB-004`.
pub fn fill(template: &str, vars: &[(String, String)]) -> Result<String, JobFileError> {
    let wrong = |why: String| JobFileError::Template { template: template.to_owned(), why };
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
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
            Some((name, form)) => match form.strip_prefix('0').and_then(|width| width.parse().ok()) {
                Some(width) if width <= MAX_WIDTH => (name, width),
                _ => return Err(wrong(format!("{{{name}:{form}}} is no form: {{{name}:04}} has at least four digits"))),
            },
        };
        let Some((_, value)) = vars.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = vars.iter().map(|(name, _)| name.as_str()).collect();
            return Err(wrong(format!("there is no {{{name}}} here{}", meant(name, &known))));
        };
        let (sign, digits) = if width > 0 && value.starts_with('-') { value.split_at(1) } else { ("", value.as_str()) };
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', width.saturating_sub(value.chars().count())));
        out.push_str(digits);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_braces_stay() {
        let vars = [("spot".to_owned(), "90".to_owned()), ("task".to_owned(), "3".to_owned())];
        assert_eq!(fill("--spot={spot}/{task} {{x}}", &vars).unwrap(), "--spot=90/3 {x}");
        assert_eq!(fill("", &vars).unwrap(), "");
        let refused = |template| fill(template, &vars).unwrap_err().to_string();
        assert!(refused("{spto}").ends_with("there is no {spto} here: did you mean `spot`?"));
        assert_eq!(fill("{task:04} {spot:02} {task:01}", &vars).unwrap(), "0003 90 3");
        assert_eq!(fill("{n:03}", &[("n".to_owned(), "-7".to_owned())]).unwrap(), "-07");
        assert!(refused("{task:4}").contains("is no form") && refused("{task:0999}").contains("is no form"));
        assert!(refused("{spot").contains("without its `}`"));
        assert!(refused("spot}").contains("without its `{`"));
    }
}
