//! Curves in text, for a terminal.

use std::fmt::Write as _;

const HEIGHT: usize = 6;
const WIDTH: usize = 64;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A curve of values over time, from zero to their most, with a scale at its left; empty if there are none.
pub(crate) fn curve(title: &str, values: &[f64], label: impl Fn(f64) -> String) -> String {
    if values.is_empty() {
        return String::new();
    }
    let columns = squeeze(values);
    let most = columns.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let mut text = format!("{title}\n");
    for row in (0..HEIGHT).rev() {
        let scale = if row == HEIGHT - 1 {
            label(most)
        } else if row == 0 {
            label(0.0)
        } else {
            String::new()
        };
        let _ = write!(text, "{scale:>10} ┤");
        for value in &columns {
            let filled = (value / most * (HEIGHT * 8) as f64).round() as usize;
            text.push(EIGHTHS[filled.saturating_sub(row * 8).min(8)]);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// At most as many columns as fit, each the mean of its share.
fn squeeze(values: &[f64]) -> Vec<f64> {
    let columns = values.len().min(WIDTH);
    (0..columns)
        .map(|column| {
            let share = &values[column * values.len() / columns..(column + 1) * values.len() / columns];
            share.iter().sum::<f64>() / share.len().max(1) as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_reaches_from_nothing_to_the_most() {
        let text = curve("cores", &[0.0, 0.5, 1.0], |value| format!("{value:.1}"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), HEIGHT + 1);
        assert_eq!(lines[1], "       1.0 ┤  █");
        assert_eq!(lines[HEIGHT], "       0.0 ┤ ██");
        assert_eq!(curve("nothing", &[0.0], |_| String::new()), "");
    }

    #[test]
    fn long_runs_are_squeezed() {
        let values: Vec<f64> = (0..1_000).map(f64::from).collect();
        let columns = squeeze(&values);
        assert_eq!(columns.len(), WIDTH);
        assert!(columns.is_sorted());
        let mean = columns.iter().sum::<f64>() / WIDTH as f64;
        assert!((mean - 499.5).abs() < 1.0, "{mean}");
    }
}
