//! Normal form of paths: relative, with `/` between components, and no empty, `.` or `..`
//! component.

use super::InputError;

/// Most bytes of a path.
pub const MAX_PATH_BYTES: usize = 1024;
/// Most bytes of one component of a path.
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Most components of a path.
pub const MAX_PATH_DEPTH: usize = 32;

/// Returns the normal form of a path: without a leading `/` and `.` components. A path in normal
/// form means the same on every system and never leaves its folder.
///
/// # Errors
/// [`InputError::BadPath`] if it is empty or too long, or contains `..`, a control character or a
/// backslash.
pub fn normalise(path: &str) -> Result<String, InputError> {
    let bad = |reason| InputError::BadPath {
        path: path.chars().take(MAX_COMPONENT_BYTES).collect(),
        reason,
    };
    if path.len() > MAX_PATH_BYTES {
        return Err(bad("is longer than 1024 bytes"));
    }
    if path.chars().any(|char| char.is_control() || char == '\\') {
        return Err(bad("holds a control character or a backslash"));
    }
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match parts.as_slice() {
        [] => Err(bad("is empty")),
        parts if parts.contains(&"..") => Err(bad("holds `..`")),
        parts if parts.len() > MAX_PATH_DEPTH => Err(bad("has more than 32 components")),
        parts if parts.iter().any(|part| part.len() > MAX_COMPONENT_BYTES) => {
            Err(bad("has a component longer than 255 bytes"))
        }
        parts => Ok(parts.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (path, normal) in [("a", "a"), ("/a/b", "a/b"), ("./a//b/", "a/b"), ("ä/..b", "ä/..b")]
        {
            assert_eq!(normalise(path).unwrap(), normal);
        }
        let deep = ["a"; 33].join("/");
        for path in [
            "",
            "/",
            ".",
            "..",
            "a/../b",
            "a\\b",
            "a\nb",
            "a\0",
            &deep,
            &"a".repeat(256),
            &"a/".repeat(600),
        ] {
            assert!(normalise(path).is_err(), "{path:?}");
        }
    }
}
