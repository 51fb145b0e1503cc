// SPDX-License-Identifier: Apache-2.0
//! Figures of `docs/performance.md`: `make bench`. Needs root, and a machine that does nothing else.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod containers;
mod cost;
mod kernel;
mod latency;
mod storm;

use std::fs;

use anyhow::Result;
use integration::binary;
use semconv::{EventDef, event};

/// One row: what, how much, and what is wanted.
struct Figure {
    what: String,
    value: String,
    wanted: &'static str,
}

fn figure(what: impl Into<String>, value: impl Into<String>, wanted: &'static str) -> Figure {
    Figure { what: what.into(), value: value.into(), wanted }
}

fn main() -> Result<()> {
    let size = fs::metadata(binary()?)?.len() as f64 / 1048576.0;
    let mut figures = vec![figure("stripped binary", format!("{size:.1} MiB"), "≤ 15 MiB")];
    // Names of measurements as arguments choose some of them.
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let all = [
        ("start", latency::start as fn() -> Result<Vec<Figure>>),
        ("idle", cost::idle),
        ("collection", cost::collection),
        ("scrape", cost::scrape),
        ("containers", containers::containers),
        ("scale", containers::scale),
        ("churn", containers::churn),
        ("cgroups", containers::cgroups),
        ("hooks", kernel::hooks),
        ("throughput", kernel::throughput),
        ("loopback", kernel::loopback),
        ("flood", kernel::flood),
        ("events", latency::events),
        ("storm", storm::storms),
    ];
    for (name, measure) in all {
        if !chosen.is_empty() && !chosen.iter().any(|word| word == name) {
            continue;
        }
        eprintln!("measures {name}");
        match measure() {
            Ok(more) => figures.extend(more),
            Err(error) => figures.push(figure(name, format!("not measured: {error:#}"), "")),
        }
    }
    println!("\n| figure | measured | wanted |\n|---|---|---|");
    for Figure { what, value, wanted } in figures {
        println!("| {what} | {value} | {wanted} |");
    }
    Ok(())
}

/// Names of HUATUO's tracers as further arguments choose some of the events.
fn is_chosen(def: &EventDef) -> bool {
    let is_tracer = |word: &String| event::ALL.iter().any(|def| def.legacy.tracer == word);
    let chosen: Vec<String> = std::env::args().filter(is_tracer).collect();
    chosen.is_empty() || chosen.iter().any(|word| word == def.legacy.tracer)
}

/// The value at a share of a sorted list.
fn at(sorted: &[f64], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[index]
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
