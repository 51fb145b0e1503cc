// SPDX-License-Identifier: Apache-2.0
//! Labels of known issues: `IssuesList` of the configuration, compiled once.

use std::sync::Arc;

use regex::Regex;

use crate::config::KnownIssue;

/// Finds the first known issue whose expression matches.
#[derive(Debug, Default)]
pub struct KnownIssues(Vec<(Arc<str>, Regex)>);

impl KnownIssues {
    /// The configuration has checked the expressions; one that slipped through labels nothing.
    pub fn new(listed: &[KnownIssue]) -> Self {
        let compile = |KnownIssue(label, expression): &KnownIssue| {
            Some((Arc::from(label.as_str()), Regex::new(expression).ok()?))
        };
        Self(listed.iter().filter_map(compile).collect())
    }

    /// The label for a stack or a title; `None` where no issue is known.
    pub fn label(&self, text: &str) -> Option<&Arc<str>> {
        self.0.iter().find(|(_, expression)| expression.is_match(text)).map(|(label, _)| label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_issue_that_matches_gives_the_label() {
        let issue = |label: &str, text: &str| KnownIssue(label.to_owned(), text.to_owned());
        let issues = KnownIssues::new(&[issue("a", "^tcp_"), issue("b", "neigh"), issue("c", "(")]);
        assert_eq!(issues.label("neigh_flush\ntcp_rcv").map(|label| &**label), Some("b"));
        assert_eq!(issues.label("tcp_rcv"), Some(&Arc::from("a")));
        assert_eq!(issues.label("udp_rcv"), None);
    }
}
