// SPDX-License-Identifier: Apache-2.0
//! Numbers as HUATUO's page prints them: as Go's `strconv.FormatFloat(value, 'g', -1, 64)` does.

/// The shortest digits; with an exponent from 1e6 on and below 1e-4.
pub(super) fn print(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (-4..PLAIN_DIGITS).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// From this decimal exponent on Go writes the shortest form with an exponent.
const PLAIN_DIGITS: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_on_huatuos_page() {
        for (number, text) in [
            (0.0, "0"),
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
            assert_eq!(print(number), text);
        }
    }
}
