// SPDX-License-Identifier: Apache-2.0
//! What was read at one time.

use std::collections::{BTreeMap, BTreeSet};

use integration::{Attributes, Point};

/// Of whom, what, and which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// A container, or nothing for the host.
    pub container: String,
    /// The metric's name.
    pub metric: String,
    /// Its attributes.
    pub attributes: Attributes,
}

impl Series {
    /// That of a point.
    pub fn of(point: &Point) -> Self {
        // What of a pod is not of a container is the pod's.
        let owner = ["container.id", "k8s.pod.uid"].iter().find_map(|key| point.resource.get(*key));
        Self {
            container: owner.cloned().unwrap_or_default(),
            metric: point.name.clone(),
            attributes: point.attributes.clone(),
        }
    }
}

/// Values of series.
#[derive(Debug, Default)]
pub struct Reading {
    pub values: BTreeMap<Series, f64>,
    /// Those of them that only grow.
    pub counts: BTreeSet<Series>,
    container: String,
}

impl Reading {
    /// What the agent says.
    pub fn from_ours(points: impl Iterator<Item = (Series, f64, bool)>) -> Self {
        let mut reading = Self::default();
        for (series, value, is_count) in points {
            if is_count {
                reading.counts.insert(series.clone());
            }
            let twice = reading.values.insert(series.clone(), value);
            assert_eq!(twice, None, "{series:?} comes twice");
        }
        reading
    }

    /// What follows is of this container, or of the host where it is empty.
    pub fn set_container(&mut self, id: &str) {
        self.container = id.to_owned();
    }

    /// A series with its value.
    pub fn add(&mut self, metric: &str, attributes: &[(&str, &str)], value: f64) {
        let pairs = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let (container, metric) = (self.container.clone(), metric.to_owned());
        self.values.insert(Series { container, metric, attributes: pairs.collect() }, value);
    }
}

/// Numbers that stand one after the other, as far as they are numbers.
pub fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map_while(|word| word.parse().ok()).collect()
}

/// Lines of a word and a number.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines().filter_map(|line| {
        let (word, rest) = line.split_once(char::is_whitespace)?;
        Some((word.trim_end_matches(':'), *numbers(rest).first()?))
    })
}
