// SPDX-License-Identifier: Apache-2.0
//! What must hold before code can be written: every name defined once, every reference known, and
//! nothing of OpenTelemetry's redefined. What a name may look like is tested in `tests/registry.rs`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{bail, ensure};

use crate::load::{Entry, Registry};
use crate::model::{Attribute, AttributeRef, Event, Instrument, LegacyFormat, Metric, Status};

/// Checks the whole registry.
pub fn check(registry: &Registry) -> anyhow::Result<()> {
    let keys = attributes(registry)?;
    let entities = entities(registry, &keys)?;
    unique(registry.metrics.iter().map(|m| (m.item.name.as_str(), &*m.file)))?;
    unique(registry.events.iter().map(|e| (e.item.name.as_str(), &*e.file)))?;
    for metric in &registry.metrics {
        metric_entry(metric, &keys)?;
        known_entities(
            &metric.file,
            &metric.item.name,
            &metric.item.entity_associations,
            &entities,
        )?;
    }
    for event in &registry.events {
        event_entry(event, &keys)?;
        known_entities(&event.file, &event.item.name, &event.item.entity_associations, &entities)?;
    }
    Ok(())
}

type Keys<'a> = HashMap<&'a str, &'a Attribute>;

/// Weaver lets a registry silently replace an upstream key, hence one namespace over both.
fn unique<'a>(names: impl Iterator<Item = (&'a str, &'a Path)>) -> anyhow::Result<()> {
    let mut seen: HashMap<&str, &Path> = HashMap::new();
    for (name, file) in names {
        if let Some(first) = seen.insert(name, file) {
            bail!(
                "{}: `{name}` is defined in {} already; refer to it instead",
                file.display(),
                first.display()
            );
        }
    }
    Ok(())
}

fn attributes(registry: &Registry) -> anyhow::Result<Keys<'_>> {
    unique(registry.attributes.iter().map(|a| (a.item.key.as_str(), &*a.file)))?;
    for Entry { item, file, upstream } in &registry.attributes {
        ensure!(
            *upstream || item.annotations.more_members.is_empty(),
            "{}: `{}` is ours, so list all its values under `members`",
            file.display(),
            item.key
        );
        let is_enum = matches!(item.kind, crate::model::AttributeType::Enum(_));
        ensure!(
            is_enum || !item.examples.is_empty(),
            "{}: `{}` needs `examples`",
            file.display(),
            item.key
        );
    }
    Ok(registry.attributes.iter().map(|a| (a.item.key.as_str(), &a.item)).collect())
}

fn entities<'a>(registry: &'a Registry, keys: &Keys) -> anyhow::Result<Vec<&'a str>> {
    for Entry { item, file, .. } in &registry.entities {
        for attribute in item.identity.iter().chain(&item.description) {
            known(file, &item.kind, &attribute.key, keys)?;
        }
    }
    Ok(registry.entities.iter().map(|entity| entity.item.kind.as_str()).collect())
}

fn metric_entry(entry: &Entry<Metric>, keys: &Keys) -> anyhow::Result<()> {
    let Entry { item: metric, file, upstream } = entry;
    let (name, notes) = (&metric.name, &metric.annotations);
    let at = file.display();
    ensure!(
        *upstream == (notes.status == Status::Exact),
        "{at}: `{name}`: `status: exact` is for the entries in upstream/, and for all of them"
    );
    ensure!(
        *upstream || notes.more_attributes.is_empty(),
        "{at}: `{name}` is ours, so list all it carries under `attributes`"
    );
    ensure!(
        (metric.instrument == Instrument::Histogram) != notes.bounds.is_empty(),
        "{at}: `{name}`: a histogram needs `bounds`, nothing else may have them"
    );
    let carried = carried(&metric.attributes, &notes.more_attributes);
    for key in &carried {
        known(file, name, key, keys)?;
    }
    for legacy in &notes.legacy {
        let selected = legacy.select.0.iter().map(|(key, _)| key);
        for key in legacy.labels.values().chain(selected) {
            ensure!(
                carried.contains(&key.as_str()),
                "{at}: `{name}`: legacy `{}` uses `{key}`, which the metric does not carry",
                legacy.name
            );
        }
    }
    Ok(())
}

fn event_entry(entry: &Entry<Event>, keys: &Keys) -> anyhow::Result<()> {
    let Entry { item: event, file, .. } = entry;
    for attribute in &event.attributes {
        known(file, &event.name, &attribute.key, keys)?;
    }
    for (field, source) in &event.annotations.legacy.fields.0 {
        let name = format!("{}, legacy field {field}", event.name);
        let source = source.converted();
        let is_filled = source.format == LegacyFormat::Time || !source.absent.is_empty();
        match &source.attribute {
            Some(key) => known(file, &name, key, keys)?,
            None => ensure!(is_filled, "{}: `{name}` needs an attribute", file.display()),
        }
    }
    ensure!(
        (1..=24).contains(&event.annotations.severity),
        "{}: `{}`: severity must be 1 to 24",
        file.display(),
        event.name
    );
    Ok(())
}

/// All keys that a metric's points may carry.
pub fn carried<'a>(listed: &'a [AttributeRef], more: &'a [String]) -> Vec<&'a str> {
    let listed = listed.iter().map(|attribute| attribute.key.as_str());
    listed.chain(more.iter().map(String::as_str)).collect()
}

fn known(file: &Path, user: &str, key: &str, keys: &Keys) -> anyhow::Result<()> {
    ensure!(
        keys.contains_key(key),
        "{}: `{user}` refers to the attribute `{key}`, which is in neither registry; define it \
         there, or add it to upstream/ where OpenTelemetry has it",
        file.display()
    );
    Ok(())
}

fn known_entities(file: &Path, user: &str, used: &[String], all: &[&str]) -> anyhow::Result<()> {
    for entity in used {
        ensure!(
            all.contains(&entity.as_str()),
            "{}: `{user}` is associated with the entity `{entity}`, which upstream/ does not have",
            file.display()
        );
    }
    Ok(())
}
