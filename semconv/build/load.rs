// SPDX-License-Identifier: Apache-2.0
//! Reads the YAML files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;

use crate::model::{Attribute, Entity, Event, Families, File, Format, Manifest, Metric};

/// Something of a registry and where it stands.
pub struct Entry<T> {
    /// What it says.
    pub item: T,
    /// The file it is in.
    pub file: PathBuf,
    /// Whether that file is part of the excerpt of OpenTelemetry's registry.
    pub upstream: bool,
}

/// Both registries, sorted by name.
#[derive(Default)]
pub struct Registry {
    pub attributes: Vec<Entry<Attribute>>,
    pub metrics: Vec<Entry<Metric>>,
    pub events: Vec<Entry<Event>>,
    pub entities: Vec<Entry<Entity>>,
}

/// Reads `registry/` and `upstream/` below `root`.
pub fn registry(root: &Path) -> anyhow::Result<Registry> {
    let mut all = Registry::default();
    for (folder, upstream) in [("registry", false), ("upstream", true)] {
        for file in yaml_files(&root.join(folder))? {
            if file.ends_with("manifest.yaml") {
                parse::<Manifest>(&file)?;
            } else {
                add(&mut all, parse(&file)?, &file, upstream);
            }
        }
    }
    all.attributes.sort_by(|a, b| a.item.key.cmp(&b.item.key));
    all.metrics.sort_by(|a, b| a.item.name.cmp(&b.item.name));
    all.events.sort_by(|a, b| a.item.name.cmp(&b.item.name));
    Ok(all)
}

/// Reads `kernel_fields.yaml`.
pub fn families(path: &Path) -> anyhow::Result<Families> {
    parse(path)
}

fn yaml_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot list the registry folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; restore it from git", path.display()))?;
    serde_saphyr::from_str(&text)
        .with_context(|| format!("{} does not fit build/model.rs", path.display()))
}

fn add(all: &mut Registry, file: File, path: &Path, upstream: bool) {
    fn entries<T>(items: Vec<T>, file: &Path, upstream: bool) -> impl Iterator<Item = Entry<T>> {
        items.into_iter().map(move |item| Entry { item, file: file.to_owned(), upstream })
    }
    let Format::Definition2 = file.file_format;
    all.attributes.extend(entries(file.attributes, path, upstream));
    all.metrics.extend(entries(file.metrics, path, upstream));
    all.events.extend(entries(file.events, path, upstream));
    all.entities.extend(entries(file.entities, path, upstream));
}
