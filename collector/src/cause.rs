// SPDX-License-Identifier: Apache-2.0
//! What lies behind an error.

use std::error::Error;
use std::io;
use std::iter::successors;

/// The error and everything that caused it, outermost first.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// What the operating system said.
pub fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The error with everything that caused it, in one line.
pub fn whole_cause(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let gap = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{gap}{cause}");
        }
    }
    one_line(&text)
}

/// What others say may be long and have lines.
pub fn one_line(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(300).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot send")]
    struct Outer(#[source] io::Error);

    #[test]
    fn all_causes_are_told_once_and_in_one_line() {
        let error = Outer(io::Error::other("no\nroute"));
        assert_eq!(whole_cause(&error), "cannot send: no route");
        assert_eq!(io_cause(&error).map(ToString::to_string), Some("no\nroute".to_owned()));
        assert_eq!(one_line(&"x".repeat(500)).len(), 300);
    }
}
