// SPDX-License-Identifier: Apache-2.0
//! Writes the families of kernel words as Rust.

use anyhow::ensure;

use crate::emit::{constant, labels};
use crate::model::{Families, Family, Instrument, Rule};

/// The module `family`.
pub fn emit(families: &Families) -> anyhow::Result<String> {
    let mut code = String::from(
        "/// Families of metrics named after words of the kernel.\npub mod family {\n\
         use super::attribute;\nuse super::{FieldFamily, FieldPattern, FieldRule, Instrument, LegacyKind};\n",
    );
    for family in &families.families {
        code += &emit_family(family)?;
    }
    let names = families.families.iter().map(|family| format!("&{}", constant(&family.name)));
    let names: Vec<String> = names.collect();
    code += &format!(
        "/// Every family.\npub static ALL: &[&FieldFamily] = &[{}];\n}}\n",
        names.join(", ")
    );
    Ok(code)
}

fn emit_family(family: &Family) -> anyhow::Result<String> {
    let mut rules = String::new();
    for rule in &family.rules {
        ensure!(
            matches!(
                rule.instrument,
                Instrument::Counter | Instrument::UpDownCounter | Instrument::Gauge
            ),
            "kernel_fields.yaml: {}: a kernel word is a number, not a histogram",
            family.name
        );
        ensure!(
            rule.factor > 0 && (rule.any || !rule.words.is_empty() || !rule.prefixes.is_empty()),
            "kernel_fields.yaml: {}: a rule needs `words`, `prefixes` or `any`, and a factor above 0",
            family.name
        );
        rules += &emit_rule(rule);
    }
    let keys: String =
        family.attributes.iter().map(|key| format!("&attribute::{}, ", constant(key))).collect();
    let labels = labels(&family.legacy.labels);
    Ok(format!(
        "/// `{prefix}<word>`.\npub static {}: FieldFamily = FieldFamily {{ prefix: {prefix:?}, \
         brief: {:?}, probe: {:?}, grouped: {:?}, mixed_case: {:?}, legacy_prefix: {:?}, legacy_container: {:?}, \
         legacy_kind: LegacyKind::{:?}, legacy_help: {:?}, attributes: &[{keys}], \
         legacy_labels: &[{labels}], rules: &[{rules}] }};\n",
        constant(&family.name),
        family.brief,
        family.probe,
        family.grouped,
        family.grouped || family.mixed_case,
        family.legacy.prefix,
        family.legacy.container,
        family.legacy.kind,
        family.legacy.help,
        prefix = family.prefix,
    ))
}

fn emit_rule(rule: &Rule) -> String {
    let words = rule.words.iter().map(|word| format!("Exact({word:?})"));
    let prefixes = rule.prefixes.iter().map(|prefix| format!("Prefix({prefix:?})"));
    let any = rule.any.then(|| "Any".to_owned());
    let patterns = words.chain(prefixes).chain(any);
    patterns
        .map(|pattern| {
            format!(
                "FieldRule {{ pattern: FieldPattern::{pattern}, instrument: Instrument::{:?}, \
                 unit: {:?}, factor: {}, host_only: {}, rename: {:?}, help: {:?} }}, ",
                rule.instrument, rule.unit, rule.factor, rule.host_only, rule.rename, rule.help
            )
        })
        .collect()
}
