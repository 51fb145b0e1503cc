// SPDX-License-Identifier: Apache-2.0
//! The series of a page, by the name of their metric. A page has as many series as the host has
//! containers times dozens, so the labels of a metric lie in one text, and not each in its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, btree_map};

use semconv::{LegacyKind, LegacyMetric};

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
}

/// One metric of the page.
pub(super) struct Family {
    pub kind: LegacyKind,
    pub help: &'static str,
    /// Labels of all series, one behind the other.
    labels: String,
    series: Vec<Series>,
}

struct Series {
    start: usize,
    end: usize,
    value: f64,
}

impl Families {
    /// Where `legacy` belongs.
    pub fn of(&mut self, legacy: &'static LegacyMetric) -> &mut Family {
        let (families, names) = (&mut self.families, &mut self.names);
        let index = *self.places.entry(std::ptr::from_ref(legacy)).or_insert_with(|| {
            *names.entry(legacy.name).or_insert_with(|| {
                families.push(Family::new(legacy));
                families.len() - 1
            })
        });
        &mut self.families[index]
    }

    /// All by name.
    pub fn sorted(self) -> Sorted {
        let families = self.families.into_iter().map(Some).collect();
        Sorted { names: self.names.into_iter(), families }
    }
}

/// Gives the metrics of a page in the order of their names.
pub(super) struct Sorted {
    names: btree_map::IntoIter<&'static str, usize>,
    families: Vec<Option<Family>>,
}

impl Iterator for Sorted {
    type Item = (&'static str, Family);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, index) = self.names.next()?;
        Some((name, self.families.get_mut(index)?.take()?))
    }
}

impl Family {
    fn new(legacy: &LegacyMetric) -> Self {
        let (labels, series) = (String::new(), Vec::new());
        Self { kind: legacy.kind, help: legacy.help, labels, series }
    }

    /// One more value, with its own labels sorted. Those that agree in all labels are added up.
    pub fn add<'a>(
        &mut self,
        common: &Labels,
        own: impl Iterator<Item = (&'static str, Cow<'a, str>)>,
        value: f64,
    ) {
        let start = self.labels.len();
        join(common, own, &mut self.labels);
        self.series.push(Series { start, end: self.labels.len(), value });
    }

    /// Hands each series with its labels to `each`, in the order of the labels.
    pub fn each(mut self, mut each: impl FnMut(&str, f64)) {
        let labels = &self.labels;
        let text = |series: &Series| &labels[series.start..series.end];
        self.series.sort_by(|one, other| text(one).cmp(text(other)));
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
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    Cow::Owned(if quotes { escaped.replace('"', "\\\"") } else { escaped })
}
