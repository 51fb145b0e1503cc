// SPDX-License-Identifier: Apache-2.0
//! `kernels.toml`: the lab's kernels, and what the probes find on each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::check::Check;
use crate::root;

const HEADER: &str = "\
# SPDX-License-Identifier: Apache-2.0
# Kernels that the lab boots: the newest of this version, or of all, in these suites of Debian. And
# what `huatuo-otel check` has to say there: the way of each hook, or what became of it, for each
# probe that has hooks or does not run. A kernel lists only what differs from [probes]; [why] has the
# reason for everything that does not work. `UPDATE_EXPECTATIONS=1 make lab KERNEL=6.1 TEST=` writes
# what it finds into this file; read the difference, and say why in better words than the agent's.

";

/// Words by probe ([`super::Probe::words`]).
type Words = BTreeMap<String, Vec<String>>;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// What most kernels do.
    #[serde(default)]
    probes: Words,
    /// By hook or probe.
    #[serde(default)]
    why: BTreeMap<String, String>,
    /// In the order of the matrix.
    pub kernel: Vec<Entry>,
}

/// One kernel.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is called here, e.g. `6.1` or `newest`.
    pub version: String,
    /// Where it is looked for.
    pub suites: Vec<String>,
    /// Where it differs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    probes: Words,
}

impl Catalogue {
    /// The file as it is now.
    pub fn read() -> Result<Self> {
        let path = path();
        let text = fs::read_to_string(&path)?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes the file anew.
    pub fn write(&self) -> Result<()> {
        Ok(fs::write(path(), self.text()?)?)
    }

    fn text(&self) -> Result<String> {
        Ok(format!("{HEADER}{}", toml::to_string_pretty(self)?))
    }

    /// The kernel of this version.
    pub fn entry(&self, version: &str) -> Result<&Entry> {
        let found = self.kernel.iter().find(|entry| entry.version == version);
        found.with_context(|| format!("{version} is not in integration/kernels.toml"))
    }

    /// What is expected of a probe on a kernel.
    fn expected(&self, entry: &Entry, probe: &str) -> Vec<String> {
        let found = entry.probes.get(probe).or_else(|| self.probes.get(probe));
        found.cloned().unwrap_or_default()
    }

    /// Where the kernel is not as expected, with the line to write if it is right; and what does not
    /// work for no known reason.
    pub fn differences(&self, version: &str, check: &Check) -> Result<Vec<String>> {
        let entry = self.entry(version)?;
        let mut found = Vec::new();
        for probe in &check.probes {
            let (name, words) = (&probe.probe, probe.words());
            let expected = self.expected(entry, name);
            if words != expected {
                found.push(format!(
                    "{name}: expected {expected:?}; to accept it write\n\"{name}\" = {words:?}"
                ));
            }
            let unexplained = broken(name, &words).filter(|what| !self.why.contains_key(*what));
            found.extend(unexplained.map(|what| format!("[why] has no reason for {what}")));
        }
        let is_there = |name: &&String| check.probes.iter().any(|probe| probe.probe == **name);
        let listed = self.probes.keys().chain(entry.probes.keys());
        let gone: BTreeSet<&String> = listed.filter(|name| !is_there(name)).collect();
        found.extend(gone.into_iter().map(|name| format!("{name}: there is no such probe")));
        Ok(found)
    }

    /// Takes over what was found on a kernel; what most kernels do becomes the rule.
    pub fn accept(&mut self, version: &str, check: &Check) -> Result<()> {
        self.entry(version)?;
        let mut all: Vec<Words> = Vec::new();
        for entry in &self.kernel {
            let words = check.probes.iter().map(|probe| {
                let is_found = entry.version == version;
                let expected = self.expected(entry, &probe.probe);
                (probe.probe.clone(), if is_found { probe.words() } else { expected })
            });
            all.push(words.collect());
        }
        self.probes = check.probes.iter().map(|probe| usual(&probe.probe, &all)).collect();
        for (entry, words) in self.kernel.iter_mut().zip(all) {
            let differs = |(name, words): &(String, Vec<String>)| self.probes[name] != *words;
            entry.probes = words.into_iter().filter(differs).collect();
        }
        self.probes.retain(|_, words| !words.is_empty());
        self.explain(check);
        Ok(())
    }

    /// Reasons for all that does not work, and for nothing else.
    fn explain(&mut self, check: &Check) {
        let tables = self.kernel.iter().map(|entry| &entry.probes).chain([&self.probes]);
        let all = tables.flatten().flat_map(|(name, words)| broken(name, words));
        let all: BTreeSet<String> = all.map(str::to_owned).collect();
        self.why.retain(|what, _| all.contains(what));
        for (what, reason) in check.probes.iter().flat_map(super::check::Probe::reasons) {
            if all.contains(what) && !self.why.contains_key(what) {
                self.why.insert(what.to_owned(), reason.to_owned());
            }
        }
    }
}

/// The words that most kernels have for a probe; of those alike often, the first kernel's.
fn usual(probe: &str, all: &[Words]) -> (String, Vec<String>) {
    let count = |words: &Vec<String>| all.iter().filter(|other| other[probe] == *words).count();
    let each = all.iter().map(|words| &words[probe]).rev();
    let most = each.max_by_key(|words| count(words)).cloned().unwrap_or_default();
    (probe.to_owned(), most)
}

/// Hooks that no program runs at, and the probe itself where it does not run.
fn broken<'a>(probe: &'a str, words: &'a [String]) -> impl Iterator<Item = &'a str> {
    words.iter().filter_map(move |word| match word.split_once('/') {
        Some(("unsupported" | "failed", hook)) => Some(hook),
        Some(_) => None,
        None => Some(probe),
    })
}

fn path() -> PathBuf {
    root().join("integration/kernels.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str) -> Check {
        let hook = match word {
            "unsupported" => r#"{"hook":"x","state":"unsupported","way":null,"reason":"no BTF"}"#,
            _ => r#"{"hook":"x","state":"attached","way":"raw_tp","reason":""}"#,
        };
        let text = format!(
            r#"{{"probes":[{{"probe":"a.b","state":"partial","reason":"","hooks":[{hook}]}},
                {{"probe":"a.c","state":"attached","reason":"","hooks":[]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn catalogue() -> Catalogue {
        let kernels = ["1", "2", "3"].map(|version| Entry {
            version: version.to_owned(),
            suites: Vec::new(),
            probes: Words::new(),
        });
        Catalogue { probes: Words::new(), why: BTreeMap::new(), kernel: kernels.into() }
    }

    #[test]
    fn the_file_is_as_it_would_be_written() {
        let read = Catalogue::read().unwrap();
        assert_eq!(fs::read_to_string(path()).unwrap(), read.text().unwrap());
    }

    #[test]
    fn what_is_accepted_is_expected_and_the_opposite_is_a_difference() {
        let mut known = catalogue();
        for version in ["1", "2"] {
            known.accept(version, &check("raw_tp")).unwrap();
        }
        known.accept("3", &check("unsupported")).unwrap();
        assert_eq!(known.probes["a.b"], ["raw_tp/x"]);
        assert_eq!(known.kernel[2].probes["a.b"], ["unsupported/x"]);
        assert_eq!(known.why["x"], "no BTF");
        assert!(known.differences("3", &check("unsupported")).unwrap().is_empty());
        // An unexpected success is one too.
        let found = known.differences("3", &check("raw_tp")).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("\n\"a.b\" = [\"raw_tp/x\"]"), "{found:?}");
        assert_eq!(known.differences("1", &check("unsupported")).unwrap().len(), 1);
        known.accept("3", &check("raw_tp")).unwrap();
        assert!(known.kernel[2].probes.is_empty() && known.why.is_empty());
    }

    #[test]
    fn a_missing_hook_needs_a_reason_and_a_listed_probe_has_to_be_there() {
        let mut known = catalogue();
        known.accept("1", &check("unsupported")).unwrap();
        known.why.clear();
        known.probes.insert("a.d".to_owned(), vec!["raw_tp/z".to_owned()]);
        let found = known.differences("1", &check("unsupported")).unwrap();
        assert_eq!(found, ["[why] has no reason for x", "a.d: there is no such probe"]);
    }
}
