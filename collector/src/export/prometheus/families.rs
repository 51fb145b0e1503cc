// SPDX-License-Identifier: Apache-2.0
//! The series of a page, by the name of their metric. A page has as many series as the host has
//! containers times dozens, so all lie in one list and their labels in one text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use memchr::memchr3;
use semconv::{LegacyKind, LegacyMetric};

/// What the labels of a series take, about.
const BYTES_OF_LABELS: usize = 64;

/// Labels that all series of an entity have, sorted, each as it is on the page.
pub(super) type Labels = Vec<(&'static str, String)>;

/// These labels, sorted and written.
pub(super) fn labels(mut labels: Labels) -> Labels {
    labels.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in &mut labels {
        *value = format!("{name}=\"{}\"", escape(value, true));
    }
    labels
}

/// All metrics of a page.
#[derive(Default)]
pub(super) struct Families {
    families: Vec<Family>,
    /// Where a metric's are; several metrics of the registry may have one name on the page.
    places: HashMap<*const LegacyMetric, usize>,
    names: BTreeMap<&'static str, usize>,
    series: Vec<Series>,
    /// Labels of all series, one behind the other.
    labels: String,
}

/// One metric of the page.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub name: &'static str,
    pub kind: LegacyKind,
    pub help: &'static str,
}

struct Series {
    /// Place of its family: in the order they were met, and by name once they are sorted.
    family: usize,
    start: usize,
    end: usize,
    value: f64,
}

impl Families {
    /// Room for so many series.
    pub fn with_capacity(series: usize) -> Self {
        let labels = String::with_capacity(series * BYTES_OF_LABELS);
        Self { series: Vec::with_capacity(series), labels, ..Self::default() }
    }

    /// Where `legacy` belongs.
    pub fn of(&mut self, legacy: &'static LegacyMetric) -> Place {
        let (families, names) = (&mut self.families, &mut self.names);
        let place = self.places.entry(std::ptr::from_ref(legacy)).or_insert_with(|| {
            *names.entry(legacy.name).or_insert_with(|| {
                let LegacyMetric { name, kind, help, .. } = *legacy;
                families.push(Family { name, kind, help });
                families.len() - 1
            })
        });
        Place(*place)
    }

    /// One more value, with its own labels sorted. Those that agree in all labels are added up.
    pub fn add<'a>(
        &mut self,
        Place(family): Place,
        common: &Labels,
        own: impl Iterator<Item = (&'static str, Cow<'a, str>)>,
        value: f64,
    ) {
        let start = self.labels.len();
        join(common, own, &mut self.labels);
        self.series.push(Series { family, start, end: self.labels.len(), value });
    }

    /// All by name, and of each the series by labels.
    pub fn sorted(self) -> Sorted {
        let Self { families, names, mut series, labels, .. } = self;
        let mut places = vec![0; families.len()];
        let by_name: Vec<Family> = names.values().map(|place| families[*place]).collect();
        names.into_values().enumerate().for_each(|(place, met)| places[met] = place);
        series.iter_mut().for_each(|series| series.family = places[series.family]);
        let key = |series: &Series| (series.family, &labels[series.start..series.end]);
        series.sort_by(|one, other| key(one).cmp(&key(other)));
        Sorted { families: by_name, series, labels, at: 0 }
    }
}

/// Of a family.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

/// Gives the metrics of a page in the order of their names.
pub(super) struct Sorted {
    families: Vec<Family>,
    series: Vec<Series>,
    labels: String,
    /// Series that were given.
    at: usize,
}

impl Sorted {
    /// The next metric.
    pub fn next(&mut self) -> Option<(Family, OfFamily<'_>)> {
        let rest = &self.series[self.at..];
        let family = rest.first()?.family;
        let series = &rest[..rest.partition_point(|series| series.family == family)];
        self.at += series.len();
        Some((self.families[family], OfFamily { series, labels: &self.labels }))
    }
}

/// The series of a metric.
pub(super) struct OfFamily<'a> {
    series: &'a [Series],
    labels: &'a str,
}

impl OfFamily<'_> {
    /// Hands each series with its labels to `each`, in the order of the labels.
    pub fn each(self, mut each: impl FnMut(&str, f64)) {
        let text = |series: &Series| &self.labels[series.start..series.end];
        for equal in self.series.chunk_by(|one, other| text(one) == text(other)) {
            each(text(&equal[0]), equal.iter().map(|series| series.value).sum());
        }
    }
}

/// `a="1",b="2"`, sorted by name.
fn join<'a>(
    common: &Labels,
    own: impl Iterator<Item = (&'static str, Cow<'a, str>)>,
    out: &mut String,
) {
    let start = out.len();
    let mut common = common.iter().peekable();
    for (name, value) in own {
        while let Some((_, label)) = common.next_if(|(other, _)| *other < name) {
            out.extend([label, ","]);
        }
        out.extend([name, "=\"", &*escape(&value, true), "\","]);
    }
    for (_, label) in common {
        out.extend([label, ","]);
    }
    if out.len() > start {
        out.pop();
    }
}

/// Most texts have nothing to escape.
pub(super) fn escape(text: &str, quotes: bool) -> Cow<'_, str> {
    if memchr3(b'\\', b'\n', b'"', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    Cow::Owned(if quotes { escaped.replace('"', "\\\"") } else { escaped })
}
