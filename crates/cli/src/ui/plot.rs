//! A line in the terminal, drawn with braille: two by four dots in every character.

/// Dots in a character, across and down.
const DOTS: (usize, usize) = (2, 4);
/// The first of the 256 braille patterns.
const BLANK: u32 = 0x2800;
/// Bit of a dot, by column and row from the top.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// Dots of a picture.
struct Canvas {
    width: usize,
    height: usize,
    cells: Vec<u8>,
}

impl Canvas {
    /// Of so many characters.
    fn new(columns: usize, rows: usize) -> Self {
        Self { width: columns * DOTS.0, height: rows * DOTS.1, cells: vec![0; columns * rows] }
    }

    fn dot(&mut self, (x, y): (usize, usize)) {
        let cell = y / DOTS.1 * (self.width / DOTS.0) + x / DOTS.0;
        self.cells[cell] |= BITS[x % DOTS.0][y % DOTS.1];
    }

    /// A line by its longer axis, ends included.
    fn line(&mut self, from: (usize, usize), to: (usize, usize)) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between =
            |a: usize, b: usize, step: usize| (a * (steps - step) + b * step + steps / 2) / steps;
        (0..=steps)
            .for_each(|step| self.dot((between(from.0, to.0, step), between(from.1, to.1, step))));
    }

    fn rows(&self) -> impl Iterator<Item = String> + '_ {
        let glyph = |bits: &u8| char::from_u32(BLANK + u32::from(*bits)).unwrap_or(' ');
        self.cells.chunks(self.width / DOTS.0).map(move |row| row.iter().map(glyph).collect())
    }
}

/// Values beyond so many times the middle one are drawn at the upper edge: one alone must not
/// flatten all others.
const MOST_MEDIANS: u128 = 4;

/// Draws values over time, oldest first: a line through `points`, and `dots` around it; into so
/// many characters, with the scale on the left and the first and last time below. Every stretch of
/// time is as wide as it is long.
pub fn plot(
    points: &[(u64, u128)],
    dots: &[(u64, u128)],
    columns: usize,
    rows: usize,
    value: impl Fn(u128) -> String,
    time: impl Fn(u64) -> String,
) -> String {
    let all = || points.iter().chain(dots);
    let (Some(first), Some(last)) =
        (all().map(|point| point.0).min(), all().map(|point| point.0).max())
    else {
        return String::new();
    };
    let mut values: Vec<u128> = all().map(|point| point.1).collect();
    values.sort_unstable();
    let low = values[0];
    let high = values[values.len() - 1]
        .min(values[values.len() / 2].saturating_mul(MOST_MEDIANS))
        .max(low);
    // What never changed is one row.
    let (columns, rows) = (columns.max(2), if low == high { 1 } else { rows.max(1) });
    let mut canvas = Canvas::new(columns, rows);
    let (right, bottom) = (canvas.width - 1, canvas.height - 1);
    // A share of a span in dots, rounded; in the middle where there is no span.
    let place = |part: u128, span: u128, most: usize| match span {
        0 => most / 2,
        span => (part as f64 / span as f64 * most as f64).round() as usize,
    };
    let at = |(when, value): &(u64, u128)| {
        let x = place((when - first).into(), (last - first).into(), right);
        (x.min(right), bottom - place(value.min(&high) - low, high - low, bottom).min(bottom))
    };
    all().for_each(|point| canvas.dot(at(point)));
    points.windows(2).for_each(|pair| canvas.line(at(&pair[0]), at(&pair[1])));

    let labels = [value(high), value(low)];
    let wide = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    let mut out: Vec<String> = Vec::with_capacity(rows + 2);
    for (n, row) in canvas.rows().enumerate() {
        let label = match n {
            0 => labels[0].as_str(),
            n if n + 1 == rows && low != high => labels[1].as_str(),
            _ => "",
        };
        out.push(format!("  {label:>wide$} ┤{row}"));
    }
    let ends = [time(first), time(last)];
    let room = columns.saturating_sub(ends[0].chars().count() + ends[1].chars().count());
    out.push(format!("  {:>wide$} └{}", "", "─".repeat(columns)));
    out.push(match room {
        _ if first == last => format!("  {:>wide$}  {}", "", ends[0]),
        0 => format!("  {:>wide$}  {}", "", ends[1]),
        room => format!("  {:>wide$}  {}{}{}", "", ends[0], " ".repeat(room), ends[1]),
    });
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(points: &[(u64, u128)], columns: usize, rows: usize) -> Vec<String> {
        let text = plot(points, &[], columns, rows, |v| v.to_string(), |t| t.to_string());
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_rising_line_rises() {
        let rows = drawn(&[(0, 0), (7, 7)], 4, 2);
        assert_eq!(rows, ["  7 ┤⠀⠀⡠⠊", "  0 ┤⡠⠊⠀⠀", "    └────", "     0  7"]);
    }

    #[test]
    fn one_value_lies_in_the_middle_and_none_is_nothing() {
        assert_eq!(drawn(&[(5, 100)], 4, 3), ["  100 ┤⠀⠠⠀⠀", "      └────", "       5"]);
        assert!(drawn(&[], 10, 3).is_empty());
    }

    #[test]
    fn one_wild_value_does_not_flatten_the_others() {
        let dots = [(0, 10), (1, 12), (2, 14), (3, u128::MAX)];
        let text = plot(&[], &dots, 2, 1, |v| v.to_string(), |t| t.to_string());
        assert!(text.starts_with("  56 ┤"), "{text}");
        let mixed = plot(&[(0, 5), (3, 5)], &[(1, 9)], 2, 1, |v| v.to_string(), |t| t.to_string());
        assert!(mixed.starts_with("  9 ┤⣈⣀"), "{mixed}");
    }

    #[test]
    fn nothing_is_outside_the_picture() {
        let wild: Vec<(u64, u128)> = (0..500u64)
            .map(|n| (n * n, u128::from(n) * 7_919 % 1_009 * (u128::MAX / 1_009)))
            .collect();
        for (columns, rows) in [(1, 1), (3, 2), (80, 12)] {
            let rows_drawn = drawn(&wild, columns, rows);
            assert_eq!(rows_drawn.len(), rows + 2);
        }
        assert_eq!(drawn(&[(u64::MAX - 1, u128::MAX), (u64::MAX, 0)], 5, 2).len(), 4);
    }
}
