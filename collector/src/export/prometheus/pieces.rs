// SPDX-License-Identifier: Apache-2.0
//! Writing the page.

use std::collections::HashSet;
use std::fmt::Write;

use semconv::{LEGACY_PREFIX, LegacyKind};

use super::families::{Families, Family, Sorted, escape};
use super::{Format, number};

/// Bytes of a piece, at least.
const PIECE: usize = 64 * 1024;

/// The page, piece by piece.
pub(super) struct Pieces {
    families: Sorted,
    format: Format,
    /// Names of families that are written, for OpenMetrics.
    names: HashSet<&'static str>,
    is_over: bool,
}

impl Pieces {
    pub fn new(families: Families, format: Format) -> Self {
        let families = families.sorted();
        Self { families, format, names: HashSet::new(), is_over: false }
    }
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let mut out = String::with_capacity(PIECE);
        while out.len() < PIECE {
            let Some((name, family)) = self.families.next() else {
                self.is_over = true;
                if self.format == Format::OpenMetrics {
                    out.push_str("# EOF\n");
                }
                break;
            };
            let title = self.title(name, family.kind);
            print(name, family, title, self.format, &mut out);
            if self.format == Format::OpenMetrics {
                self.names.insert(name);
            }
        }
        Some(out)
    }
}

impl Pieces {
    /// Name and type of a family. OpenMetrics names a counter without the ending that its series
    /// have; where HUATUO has a gauge of that name, which comes before it, it keeps its ending.
    fn title<'a>(&self, name: &'a str, kind: LegacyKind) -> (&'a str, &'static str) {
        match (self.format, kind) {
            (_, LegacyKind::Gauge) => (name, "gauge"),
            (Format::Text, LegacyKind::Counter) => (name, "counter"),
            (Format::OpenMetrics, LegacyKind::Counter) => match name.strip_suffix("_total") {
                Some(title) if !self.names.contains(title) => (title, "counter"),
                _ => (name, "unknown"),
            },
        }
    }
}

fn print(
    name: &str,
    family: Family,
    (title, kind): (&str, &str),
    format: Format,
    out: &mut String,
) {
    let help = escape(family.help, format == Format::OpenMetrics);
    let _ = writeln!(out, "# HELP {LEGACY_PREFIX}{title} {help}");
    let _ = writeln!(out, "# TYPE {LEGACY_PREFIX}{title} {kind}");
    family.each(|labels, value| {
        out.extend([LEGACY_PREFIX, name, "{", labels, "} "]);
        number::print(value, out);
        out.push('\n');
    });
}
