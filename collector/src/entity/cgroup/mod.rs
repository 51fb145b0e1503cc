// SPDX-License-Identifier: Apache-2.0
//! From the kernel's cgroup id (the inode of the cgroup's directory) to its path and container.
//! inotify tells what comes and goes; a walk over the hierarchy is the safety net, and what is left
//! where nothing can be watched.

mod ended;
mod first;
mod walk;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::container::Container;
use super::names::Namer;
use super::path::container_at;
use super::runtime::RuntimeFacts;
use crate::hostfs::{CgroupMount, HostFs};

pub use ended::Keep;
pub use first::first_process;

use ended::Ended;
use watch::{Change, Changes, Watch};

/// Between two walks where changes are watched.
pub const SWEEP: Duration = Duration::from_secs(60);
/// Between two walks where nothing can be watched, unless that were more than a hundredth of the
/// time.
const BLIND_SWEEP: Duration = Duration::from_secs(1);
/// The same for an id that is not known, which cannot wait.
const MIN_SEARCH: Duration = Duration::from_millis(100);
/// Metrics of a container wait this long for its names.
const MAX_NAMELESS: Duration = Duration::from_secs(1);
/// Times that the files of the runtimes are searched for a container.
const MAX_SEARCHES: u8 = 3;

/// One directory of the hierarchy.
#[derive(Debug)]
struct Cgroup {
    path: Arc<str>,
    /// The container it lies in.
    container: Option<Arc<str>>,
    ended: Option<Instant>,
    /// The walk that saw it last.
    walk: u64,
}

/// A container with what is kept of it.
#[derive(Debug)]
struct Known {
    container: Arc<Container>,
    found: Instant,
    ended: Option<Instant>,
    /// What its runtime told; `None` until it was asked.
    facts: Option<Arc<RuntimeFacts>>,
    searches: u8,
}

/// Where a cgroup is.
#[derive(Debug, Clone)]
pub enum Place {
    /// It is there, in this container.
    Running(Option<Arc<Container>>),
    /// It was removed.
    Ended(Option<Arc<Container>>),
    /// It was never seen, or ended long ago.
    Unknown,
}

/// What the index holds, for `/status` and the agent's metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// cgroups that are there.
    pub cgroups: usize,
    /// Containers that run, without those that only hold a pod's namespaces.
    pub running: usize,
    /// Containers that ended and are still known.
    pub ended: usize,
    /// Containers that came and went before we could look, so far.
    pub unseen: u64,
    /// cgroups over the bound of the index since the last walk.
    pub over_bound: u64,
    /// Why changes are not watched; empty where they are.
    pub unwatched: String,
}

/// All cgroups of the hierarchy that processes are attributed by.
pub struct CgroupIndex {
    fs: HostFs,
    root: Option<PathBuf>,
    namer: Arc<Namer>,
    cgroups: HashMap<u64, Cgroup>,
    /// Those that are there, by path.
    present: HashMap<Arc<str>, u64>,
    containers: HashMap<Arc<str>, Known>,
    ended: Ended,
    /// Full paths of containers that came and went before we could look, newest last.
    unseen: VecDeque<Arc<str>>,
    watch: Option<Watch>,
    walk: u64,
    walked: Option<Instant>,
    /// How long the last walk took.
    walk_time: Duration,
    census: Census,
}

impl CgroupIndex {
    /// An empty index of `mount`.
    pub fn new(mount: Option<CgroupMount>, fs: &HostFs, namer: Arc<Namer>, keep: Keep) -> Self {
        let mut index = Self {
            fs: fs.clone(),
            root: mount.map(|mount| fs.rooted(&mount.root)),
            namer,
            cgroups: HashMap::new(),
            present: HashMap::new(),
            containers: HashMap::new(),
            ended: Ended::new(keep),
            unseen: VecDeque::new(),
            watch: None,
            walk: 0,
            walked: None,
            walk_time: Duration::ZERO,
            census: Census::default(),
        };
        match Watch::new() {
            Ok(watch) => index.watch = Some(watch),
            Err(error) => index.unwatch(&error.to_string()),
        }
        index
    }

    /// Becomes readable when a cgroup is made or removed.
    pub fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.watch.as_ref().map(Watch::descriptor)
    }

    /// Learns what has changed.
    pub fn refresh(&mut self, now: Instant) {
        match self.watch.as_mut().map(Watch::changes) {
            Some(Changes::All(changes)) if self.walked.is_some() => self.apply(&changes, now),
            Some(_) => self.sweep(now),
            None if self.is_due(BLIND_SWEEP.max(self.walk_time * 100), now) => self.sweep(now),
            None => {}
        }
        self.forget(now);
    }

    /// Learns what has changed if `id` is not known.
    pub fn refresh_for(&mut self, id: u64, now: Instant) {
        if self.cgroups.contains_key(&id) {
            return;
        }
        self.refresh(now);
        let is_blind = self.watch.is_none() && !self.cgroups.contains_key(&id);
        if is_blind && self.is_due(MIN_SEARCH, now) {
            self.sweep(now);
        }
    }

    fn is_due(&self, interval: Duration, now: Instant) -> bool {
        self.walked.is_none_or(|at| now.duration_since(at) >= interval)
    }

    fn apply(&mut self, changes: &[Change], now: Instant) {
        for change in changes {
            match change {
                Change::Made(parent, name) => self.enter(&below(parent, name), now),
                Change::Removed(parent, name) => self.leave(&below(parent, name), now),
            }
        }
    }

    /// Nothing is watched from here on.
    fn unwatch(&mut self, error: &str) {
        let reason = format!(
            "{error}; raise the limits with: sysctl fs.inotify.max_user_watches=1048576 \
             fs.inotify.max_user_instances=1024"
        );
        tracing::warn!(reason, "cgroups cannot be watched; containers are found by walks");
        self.census.unwatched = reason;
        self.watch = None;
    }

    /// Path of the cgroup below the hierarchy's root.
    pub fn path(&self, id: u64) -> Option<Arc<str>> {
        self.cgroups.get(&id).map(|cgroup| Arc::clone(&cgroup.path))
    }

    /// Where the cgroup is, and in which container.
    pub fn place(&self, id: u64) -> Place {
        let Some(cgroup) = self.cgroups.get(&id) else { return Place::Unknown };
        let container = cgroup.container.as_ref().and_then(|id| self.container(id)).cloned();
        match cgroup.ended {
            None => Place::Running(container),
            Some(_) => Place::Ended(container),
        }
    }

    /// The container with this id, running or ended a while ago.
    pub fn container(&self, id: &str) -> Option<&Arc<Container>> {
        self.containers.get(id).map(|known| &known.container)
    }

    /// The container that the cgroup at `path` lies in, if it is there.
    pub fn container_at(&self, path: &str) -> Option<Arc<Container>> {
        match self.place(*self.present.get(path)?) {
            Place::Running(container) => container,
            Place::Ended(_) | Place::Unknown => None,
        }
    }

    /// All containers that run and whose names were looked up, in no order.
    pub fn running(&self, now: Instant) -> impl Iterator<Item = &Arc<Container>> {
        let has_names = move |known: &&Known| known.is_named() || now - known.found >= MAX_NAMELESS;
        let running = self.containers.values().filter(|known| known.ended.is_none());
        running.filter(has_names).map(|known| &known.container)
    }

    /// The files of the runtimes have been searched for this container.
    pub fn is_named(&self, id: &str) -> bool {
        self.containers.get(id).is_none_or(Known::is_named)
    }

    /// There are containers whose runtime has not been asked.
    pub fn has_nameless(&self) -> bool {
        !self.containers.values().all(Known::is_named)
    }

    /// Ids of containers whose runtime has not been asked, or could not tell and may be asked again.
    pub fn nameless(&self, again: bool) -> Vec<Arc<str>> {
        let is_nameless = |known: &&Known| match &known.facts {
            None => true,
            Some(facts) => again && facts.is_unknown() && known.searches < MAX_SEARCHES,
        };
        let nameless = self.containers.values().filter(is_nameless);
        nameless.map(|known| Arc::clone(&known.container.id)).collect()
    }

    /// What a container's runtime told of it.
    pub fn set_facts(&mut self, id: &str, facts: RuntimeFacts) {
        if let Some(known) = self.containers.get_mut(id) {
            known.facts = Some(Arc::new(facts));
            known.searches = known.searches.saturating_add(1);
            known.describe(&self.namer);
        }
    }

    /// Describes all containers anew: more is known of their pods.
    pub fn describe_all(&mut self) {
        let namer = Arc::clone(&self.namer);
        self.containers.values_mut().for_each(|known| known.describe(&namer));
    }

    /// Notes a container that ended before its cgroup was seen; `name` is the last part of its
    /// path, or all of it.
    pub fn remember_ended(&mut self, id: u64, name: &str, now: Instant) -> Option<Arc<str>> {
        let is_it = |path: &&Arc<str>| Path::new(&***path).file_name() == Some(OsStr::new(name));
        let path = self.unseen.iter().rev().find(is_it).cloned();
        let path = path.unwrap_or_else(|| name.into());
        let container: Arc<str> = container_at(Path::new(&*path))?.id.into();
        let mut own = None;
        if !self.containers.contains_key(&container) {
            self.found(&path, now)?;
            own = Some(Arc::clone(&container)).filter(|id| self.end_container(id, &path, now));
        }
        let cgroup =
            Cgroup { path, container: Some(Arc::clone(&container)), ended: Some(now), walk: 0 };
        self.cgroups.insert(id, cgroup);
        self.ended.push(id, own, now);
        Some(container)
    }

    /// What the index holds.
    pub fn census(&self) -> Census {
        let running = |known: &&Known| known.ended.is_none() && !known.container.is_sandbox;
        Census {
            cgroups: self.present.len(),
            running: self.containers.values().filter(running).count(),
            ended: self.containers.values().filter(|known| known.ended.is_some()).count(),
            ..self.census.clone()
        }
    }
}

impl Known {
    fn is_named(&self) -> bool {
        self.facts.is_some()
    }

    /// Makes the container anew where there is something new to say of it.
    fn describe(&mut self, namer: &Namer) {
        let old = &self.container;
        let facts = self.facts.as_deref();
        let Some(new) = namer.container(&old.path, old.started, facts) else { return };
        let is_same = *new.resource == *old.resource
            && (new.is_sandbox, new.is_selected) == (old.is_sandbox, old.is_selected);
        if !is_same {
            self.container = Arc::new(new);
        }
    }
}

fn below(parent: &str, name: &OsStr) -> Arc<str> {
    Path::new(parent).join(name).to_string_lossy().into()
}

#[cfg(test)]
mod tests;
