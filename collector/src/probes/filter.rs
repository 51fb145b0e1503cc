// SPDX-License-Identifier: Apache-2.0
//! HUATUO's pairs of `…Included` and `…Excluded`.

use regex::Regex;

/// Passes what matches the first expression (or all, where it is empty) and not the second.
/// Expressions are not anchored. Compiled once.
#[derive(Debug)]
pub struct Filter {
    included: Option<Regex>,
    excluded: Option<Regex>,
}

impl Filter {
    /// The configuration has checked both expressions; one that slipped through excludes nothing.
    pub fn new(included: &str, excluded: &str) -> Self {
        let compile = |text: &str| (!text.is_empty()).then(|| Regex::new(text).ok()).flatten();
        Self { included: compile(included), excluded: compile(excluded) }
    }

    /// Whether `item` is collected.
    pub fn passes(&self, item: &str) -> bool {
        self.included.as_ref().is_none_or(|regex| regex.is_match(item))
            && !self.excluded.as_ref().is_some_and(|regex| regex.is_match(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_must_agree_and_empty_means_all() {
        assert!(Filter::new("", "").passes("eth0"));
        assert!(Filter::new("nr_free_pages", "").passes("nr_free_pages_blocks"));
        assert!(!Filter::new("nr_", "total").passes("nr_total"));
        assert!(!Filter::new("", r"^(lo)|(docker\w*)|(veth\w*)$").passes("lo"));
        assert!(Filter::new("", r"^(lo)|(docker\w*)|(veth\w*)$").passes("eth0"));
    }
}
