// SPDX-License-Identifier: Apache-2.0
//! Writing the page.

use std::collections::HashSet;

use semconv::{LEGACY_PREFIX, LegacyKind};

use super::families::{Families, Family, OfFamily, Sorted, escape};
use super::{Format, number};

/// Bytes of a piece, at least.
const PIECE: usize = 64 * 1024;
/// What the last metric of a piece may have beyond that, mostly.
const SLACK: usize = 8 * 1024;

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
        let mut out = String::with_capacity(PIECE + SLACK);
        while out.len() < PIECE {
            let Some((family, series)) = self.families.next() else {
                self.is_over = true;
                if self.format == Format::OpenMetrics {
                    out.push_str("# EOF\n");
                }
                break;
            };
            let title = title(family, self.format, &self.names);
            print(family, series, title, self.format, &mut out);
            if self.format == Format::OpenMetrics {
                self.names.insert(family.name);
            }
        }
        Some(out)
    }
}

/// Name and type of a family. OpenMetrics names a counter without the ending that its series have;
/// where HUATUO has a gauge of that name, which comes before it, it keeps its ending.
fn title(
    Family { name, kind, .. }: Family,
    format: Format,
    written: &HashSet<&str>,
) -> (&'static str, &'static str) {
    match (format, kind) {
        (_, LegacyKind::Gauge) => (name, "gauge"),
        (Format::Text, LegacyKind::Counter) => (name, "counter"),
        (Format::OpenMetrics, LegacyKind::Counter) => match name.strip_suffix("_total") {
            Some(title) if !written.contains(title) => (title, "counter"),
            _ => (name, "unknown"),
        },
    }
}

fn print(
    Family { name, help, .. }: Family,
    series: OfFamily<'_>,
    (title, kind): (&str, &str),
    format: Format,
    out: &mut String,
) {
    let help = escape(help, format == Format::OpenMetrics);
    out.extend(["# HELP ", LEGACY_PREFIX, title, " ", &*help, "\n"]);
    out.extend(["# TYPE ", LEGACY_PREFIX, title, " ", kind, "\n"]);
    series.each(|labels, value| {
        out.extend([LEGACY_PREFIX, name, "{", labels, "} "]);
        number::print(value, out);
        out.push('\n');
    });
}
