// SPDX-License-Identifier: Apache-2.0
//! Default < file < `OTEL_*` variables < flags; every value knows where it came from, and
//! everything that is wrong is told at once.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use super::document::{Document, child};
use super::environment::{self, Env};
use super::walk::Walk;

/// HUATUO's words for collectors and tracers that have no probe of their own in this version.
const HUATUO_WORDS: &[&str] = &[
    "arp",
    "ascend_npu",
    "cpu_stat",
    "cpuidle",
    "cpusys",
    "diskio",
    "dload",
    "dropwatch",
    "hungtask",
    "iolatency",
    "iotracing",
    "lacp",
    "memburst",
    "memory_buddyinfo",
    "memory_events",
    "memory_free",
    "memory_others",
    "memory_reclaim",
    "memory_reclaim_events",
    "metax_gpu",
    "mountpoint_perm",
    "net_rx_latency",
    "netdev_bonding_lacp",
    "netdev_dcb",
    "netdev_events",
    "netdev_hw",
    "netdev_qdisc",
    "netdev_rdma_link",
    "netdev_txqueue_timeout",
    "netstat",
    "ras",
    "sched_tick",
    "sockstat",
    "softirq",
    "softirq_tracing",
    "softlockup",
    "tcp_memory",
    "tcp_retransmit",
    "tracing_status",
];

/// Names of files that `--config-dir` looks for.
const FILE_NAMES: [&str; 2] = ["huatuo-otel.toml", "huatuo-bamai.conf"];

/// Where the file is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// There is none.
    #[default]
    BuiltIn,
    /// This one.
    File(PathBuf),
    /// One of the known names in this folder.
    Folder(PathBuf),
}

/// What flags say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides {
    /// `--region`
    pub region: Option<String>,
    /// `--disable-storage`
    pub disable_storage: bool,
    /// `--disable-kubelet`
    pub disable_kubelet: bool,
    /// `--disable-tracing`
    pub disable_tracing: Vec<String>,
}

/// Everything that a configuration is made of.
pub struct Layers<'a> {
    /// The file.
    pub source: Source,
    /// The environment.
    pub env: Env<'a>,
    /// The flags.
    pub overrides: Overrides,
    /// Words that name a probe of this version.
    pub probes: Vec<&'a str>,
}

/// The effective configuration.
#[derive(Debug)]
pub struct Loaded {
    /// Its values.
    pub config: Config,
    /// Where each value that is no default came from, by its path.
    pub(super) origins: HashMap<String, String>,
    /// The values as a table.
    pub(super) table: Table,
    /// What is accepted and has no effect, one line each.
    pub notices: Vec<String>,
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Loads all layers.
pub fn load(layers: &Layers<'_>) -> Result<Loaded, ConfigErrors> {
    let mut loader = Loader::new(&layers.probes)?;
    if let Some(path) = file(&layers.source).map_err(|problem| ConfigErrors(vec![problem]))? {
        loader.file(&path);
    }
    loader.environment(layers.env);
    loader.flags(&layers.overrides);
    loader.finish()
}

/// The file that a source means.
fn file(source: &Source) -> Result<Option<PathBuf>, String> {
    match source {
        Source::BuiltIn => Ok(None),
        Source::File(path) => Ok(Some(path.clone())),
        Source::Folder(folder) => {
            let found = FILE_NAMES.iter().map(|name| folder.join(name)).find(|path| path.exists());
            found.map(Some).ok_or_else(|| {
                let folder = folder.display();
                format!("{folder}: holds no {}; put one there", FILE_NAMES.join(" and no "))
            })
        }
    }
}

struct Loader<'a> {
    probes: Vec<&'a str>,
    table: Table,
    origins: HashMap<String, String>,
    problems: Vec<String>,
    notices: Vec<String>,
}

impl<'a> Loader<'a> {
    fn new(probes: &[&'a str]) -> Result<Self, ConfigErrors> {
        let table = Table::try_from(Config::default())
            .map_err(|error| ConfigErrors(vec![format!("built-in defaults: {error}")]))?;
        let probes = probes.iter().chain(HUATUO_WORDS).copied().collect();
        Ok(Self {
            probes,
            table,
            origins: HashMap::new(),
            problems: Vec::new(),
            notices: Vec::new(),
        })
    }

    fn file(&mut self, path: &Path) {
        let name = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(format!("{name}: {error}; name a file that can be read"));
                return;
            }
        };
        let document = Document::parse(&text);
        let line = |path: &str| document.lines.get(path).copied().unwrap_or(1);
        let mut walk = Walk::new(&self.probes);
        walk.root(&document.table);
        let wrong = walk.problems.iter();
        let wrong = wrong.map(|(path, message)| (line(path), format!("{path}: {message}")));
        let mut problems: Vec<_> = document.broken.iter().cloned().chain(wrong).collect();
        problems.sort();
        for (line, message) in problems {
            self.problems.push(format!("{name}:{line}: {message}"));
        }
        for path in walk.later {
            let line = line(&path);
            let notice = format!("{name}:{line}: {path} is accepted and has no effect yet");
            self.notices.push(notice);
        }
        let origin = |path: &str| format!("{name}:{}", line(path));
        merge(&mut self.table, &document.table, "", &mut |path| {
            self.origins.insert(path.to_owned(), origin(path));
        });
    }

    fn environment(&mut self, env: Env<'_>) {
        let (settings, problems) = environment::read(env);
        for (variable, message) in problems {
            self.problems.push(format!("{variable}: {message}"));
        }
        for setting in settings {
            let table = nested(&setting.path, setting.value);
            let mut walk = Walk::new(&self.probes);
            walk.root(&table);
            for (_, message) in walk.problems {
                self.problems.push(format!("{}: {message}", setting.variable));
            }
            self.overlay(&table, &setting.variable);
        }
        if environment::is_disabled(env) {
            for section in
                [&["Otlp"][..], &["Otlp", "Metrics"], &["Otlp", "Logs"], &["Otlp", "Traces"]]
            {
                let path: Vec<&str> = section.iter().copied().chain(["Endpoint"]).collect();
                self.overlay(&nested(&path, Value::String(String::new())), "OTEL_SDK_DISABLED");
            }
        }
    }

    fn flags(&mut self, flags: &Overrides) {
        if let Some(region) = &flags.region {
            self.overlay(&nested(&["Region"], Value::String(region.clone())), "--region");
        }
        if flags.disable_storage {
            let none = || Value::String(String::new());
            self.overlay(&nested(&["Storage", "LocalFile", "Path"], none()), "--disable-storage");
            self.overlay(&nested(&["Storage", "ES", "Address"], none()), "--disable-storage");
        }
        if flags.disable_kubelet {
            for port in ["KubeletReadOnlyPort", "KubeletAuthorizedPort"] {
                self.overlay(&nested(&["Pod", port], Value::Integer(0)), "--disable-kubelet");
            }
            for url in ["KubeletPodListURL", "KubeletPodListHTTPSURL"] {
                let none = Value::String(String::new());
                self.overlay(&nested(&["Pod", url], none), "--disable-kubelet");
            }
        }
        if !flags.disable_tracing.is_empty() {
            self.disable(&flags.disable_tracing);
        }
    }

    /// Adds to the list that the file has.
    fn disable(&mut self, words: &[String]) {
        let words = Value::Array(words.iter().cloned().map(Value::String).collect());
        let table = nested(&["BlackList"], words);
        let mut walk = Walk::new(&self.probes);
        walk.root(&table);
        for (_, message) in walk.problems {
            self.problems.push(format!("--disable-tracing: {message}"));
        }
        let mut all = self.table.get("BlackList").and_then(Value::as_array).cloned();
        if let (Some(all), Some(Value::Array(more))) = (&mut all, table.get("BlackList")) {
            all.extend(more.iter().cloned());
            let table = nested(&["BlackList"], Value::Array(all.clone()));
            self.overlay(&table, "--disable-tracing");
        }
    }

    fn overlay(&mut self, table: &Table, origin: &str) {
        merge(&mut self.table, table, "", &mut |path| {
            self.origins.insert(path.to_owned(), origin.to_owned());
        });
    }

    fn finish(self) -> Result<Loaded, ConfigErrors> {
        if !self.problems.is_empty() {
            return Err(ConfigErrors(self.problems));
        }
        let config = Config::deserialize(Value::Table(self.table.clone()))
            .map_err(|error| ConfigErrors(vec![error.to_string().trim().replace('\n', " ")]))?;
        let Self { origins, table, notices, .. } = self;
        Ok(Loaded { config, origins, table, notices })
    }
}

/// Puts the values of `over` in place of those of `under`, tables key by key.
fn merge(under: &mut Table, over: &Table, path: &str, note: &mut impl FnMut(&str)) {
    for (key, value) in over {
        let path = child(path, key);
        match (under.get_mut(key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over, &path, note),
            _ => {
                under.insert(key.clone(), value.clone());
                note(&path);
            }
        }
    }
}

fn nested(path: &[&str], value: Value) -> Table {
    let mut value = value;
    for key in path.iter().rev() {
        value = Value::Table(Table::from_iter([((*key).to_owned(), value)]));
    }
    match value {
        Value::Table(table) => table,
        _ => Table::new(),
    }
}
