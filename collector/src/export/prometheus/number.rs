// SPDX-License-Identifier: Apache-2.0
//! Numbers as HUATUO's page prints them: as Go's `strconv.FormatFloat(value, 'g', -1, 64)` does.

use std::fmt::Write;

/// From here on Go writes the shortest form with an exponent.
const LARGE: f64 = 1e6;
/// And below this.
const SMALL: f64 = 1e-4;

/// Appends the shortest digits; with an exponent from 1e6 on and below 1e-4.
pub(super) fn print(number: f64, out: &mut String) {
    let size = number.abs();
    let _ = match () {
        () if number.is_nan() => write!(out, "NaN"),
        () if number.is_infinite() => write!(out, "{}Inf", if number > 0.0 { '+' } else { '-' }),
        // Whole numbers are most, and written faster as such.
        () if size < LARGE && number.fract() == 0.0 => write!(out, "{}", number as i64),
        () if (SMALL..LARGE).contains(&size) => write!(out, "{number}"),
        () => print_scientific(number, out),
    };
}

fn print_scientific(number: f64, out: &mut String) -> std::fmt::Result {
    let start = out.len();
    write!(out, "{number:e}")?;
    let Some(mark) = out[start..].find('e').map(|at| start + at) else { return Ok(()) };
    let exponent: i32 = out[mark + 1..].parse().unwrap_or(0);
    out.truncate(mark);
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_on_huatuos_page() {
        for (number, text) in [
            (0.0, "0"),
            (-3.0, "-3"),
            (35100.0, "35100"),
            (3.20535e6, "3.20535e+06"),
            (6.268857848549965e-06, "6.268857848549965e-06"),
            (1.7736934944144352e-05, "1.7736934944144352e-05"),
            (0.3, "0.3"),
            (0.0001, "0.0001"),
            (-2.5, "-2.5"),
            (693_155.0, "693155"),
            (1e6, "1e+06"),
            (2.578235443e+09, "2.578235443e+09"),
            (1e21, "1e+21"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut out = String::new();
            print(number, &mut out);
            assert_eq!(out, text);
        }
    }
}
