// SPDX-License-Identifier: Apache-2.0
//! Writing the page.

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
    is_over: bool,
}

impl Pieces {
    pub fn new(families: Families, format: Format) -> Self {
        Self { families: families.sorted(), format, is_over: false }
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
            print(name, family, self.format, &mut out);
        }
        Some(out)
    }
}

fn print(name: &str, family: Family, format: Format, out: &mut String) {
    // OpenMetrics names a counter without the ending that its series have.
    let (title, kind) = match (format, family.kind) {
        (_, LegacyKind::Gauge) => (name, "gauge"),
        (Format::Text, LegacyKind::Counter) => (name, "counter"),
        (Format::OpenMetrics, LegacyKind::Counter) => match name.strip_suffix("_total") {
            Some(title) => (title, "counter"),
            None => (name, "unknown"),
        },
    };
    let help = escape(family.help, format == Format::OpenMetrics);
    let _ = writeln!(out, "# HELP {LEGACY_PREFIX}{title} {help}");
    let _ = writeln!(out, "# TYPE {LEGACY_PREFIX}{title} {kind}");
    family.each(|labels, value| {
        out.extend([LEGACY_PREFIX, name, "{", labels, "} "]);
        number::print(value, out);
        out.push('\n');
    });
}
