// SPDX-License-Identifier: Apache-2.0
//! Looking at the directories of the hierarchy.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::{Cgroup, CgroupIndex, Known, first};
use crate::entity::path::container_at;
use crate::kernel::unix_now;
use crate::signal::UnixNanos;

/// Directories that are known at once; a machine has some thousands.
pub(super) const MAX_CGROUPS: usize = 65_536;
/// The kernel's own default limit is far above what runtimes nest.
const MAX_DEPTH: usize = 32;
/// Containers remembered that came and went unseen.
const MAX_UNSEEN: usize = 1024;

impl CgroupIndex {
    /// Walks the hierarchy: what is new is added and watched, what is missing has ended.
    pub fn sweep(&mut self, now: Instant) {
        let Some(root) = self.root.clone() else { return };
        let begin = Instant::now();
        self.walk += 1;
        self.census.over_bound = 0;
        if let Ok(metadata) = fs::metadata(&root) {
            let path: Arc<str> = "/".into();
            self.see(metadata.ino(), &path, None, now);
            self.visit(&root, &path, None, now);
        }
        let walk = self.walk;
        let gone = self.cgroups.iter().filter(|(_, c)| c.walk != walk && c.ended.is_none());
        let gone: Vec<Arc<str>> = gone.map(|(_, cgroup)| Arc::clone(&cgroup.path)).collect();
        gone.iter().for_each(|path| self.leave(path, now));
        self.walked = Some(now);
        self.walk_time = begin.elapsed();
        if self.census.over_bound > 0 {
            let left_out = self.census.over_bound;
            tracing::warn!(left_out, "over {MAX_CGROUPS} cgroups; the others are not told apart");
        }
    }

    /// A cgroup was made at `path`.
    pub(super) fn enter(&mut self, path: &Arc<str>, now: Instant) {
        let Some(folder) = self.folder(path) else { return };
        let Ok(metadata) = fs::metadata(&folder) else {
            self.miss(path);
            return;
        };
        let parent = Path::new(&**path).parent().and_then(Path::to_str);
        let parent = parent.and_then(|parent| self.cgroups.get(self.present.get(parent)?));
        let around = parent.and_then(|cgroup| cgroup.container.clone());
        let container = self.see(metadata.ino(), path, around.as_ref(), now);
        self.visit(&folder, path, container.as_ref(), now);
    }

    /// The cgroup at `path` was removed.
    pub(super) fn leave(&mut self, path: &str, now: Instant) {
        if let Some(watch) = &mut self.watch {
            watch.remove(path);
        }
        let Some(id) = self.present.remove(path) else { return };
        let Some(cgroup) = self.cgroups.get_mut(&id) else { return };
        cgroup.ended = Some(now);
        let own = cgroup.container.clone().filter(|id| self.end_container(id, path, now));
        self.ended.push(id, own, now);
    }

    /// True where the cgroup at `path` is the container's own: it has ended then.
    pub(super) fn end_container(&mut self, id: &str, path: &str, now: Instant) -> bool {
        let known = self.containers.get_mut(id).filter(|known| *known.container.path == *path);
        known.map(|known| known.ended = Some(now)).is_some()
    }

    /// It came and went before we could look.
    fn miss(&mut self, path: &Arc<str>) {
        if container_at(Path::new(&**path)).is_none() {
            return;
        }
        self.census.unseen += 1;
        if self.unseen.len() >= MAX_UNSEEN {
            self.unseen.pop_front();
        }
        self.unseen.push_back(Arc::clone(path));
    }

    /// The directory of the cgroup at `path`.
    pub fn folder(&self, path: &str) -> Option<PathBuf> {
        Some(self.root.as_ref()?.join(path.trim_start_matches('/')))
    }

    fn visit(&mut self, folder: &Path, path: &Arc<str>, around: Option<&Arc<str>>, now: Instant) {
        if path.matches('/').count() > MAX_DEPTH {
            return;
        }
        // First, so that nothing is made unseen between the two.
        self.look_after(folder, path);
        // A cgroup that ends while we look is told of later.
        let Ok(children) = fs::read_dir(folder) else { return };
        for child in children.flatten() {
            if !child.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name: &OsStr = &child.file_name();
            let path = super::below(path, name);
            let container = self.see(child.ino(), &path, around, now);
            self.visit(&folder.join(name), &path, container.as_ref(), now);
        }
    }

    fn look_after(&mut self, folder: &Path, path: &Arc<str>) {
        let added = self.watch.as_mut().map_or(Ok(()), |watch| watch.add(folder, path));
        if let Err(error) = added {
            self.unwatch(&error.to_string());
        }
    }

    /// Notes one cgroup; cgroups below a container's belong to it.
    fn see(
        &mut self,
        id: u64,
        path: &Arc<str>,
        around: Option<&Arc<str>>,
        now: Instant,
    ) -> Option<Arc<str>> {
        let walk = self.walk;
        if let Some(cgroup) = self.cgroups.get_mut(&id)
            && cgroup.ended.is_none()
            && cgroup.path == *path
        {
            cgroup.walk = walk;
            return cgroup.container.clone();
        }
        if self.present.len() >= MAX_CGROUPS {
            self.census.over_bound += 1;
            return around.cloned();
        }
        let container = self.found(path, now).or_else(|| around.cloned());
        if let Some(old) = self.cgroups.get(&id)
            && self.present.get(&old.path) == Some(&id)
        {
            self.present.remove(&old.path);
        }
        self.present.insert(Arc::clone(path), id);
        let cgroup =
            Cgroup { path: Arc::clone(path), container: container.clone(), ended: None, walk };
        self.cgroups.insert(id, cgroup);
        container
    }

    /// When the first process of the container at `path` started; now where it has none.
    fn first_started(&self, path: &str) -> UnixNanos {
        let process = self.folder(path).and_then(|folder| first::first_process(&folder));
        let started = process.and_then(|pid| first::started(&self.fs, pid));
        started.unwrap_or_else(unix_now)
    }

    /// The id of the container whose own cgroup is at `path`.
    pub(super) fn found(&mut self, path: &Arc<str>, now: Instant) -> Option<Arc<str>> {
        let name = container_at(Path::new(&**path))?;
        let started = self.first_started(path);
        let facts = self.containers.get(name.id).and_then(|known| known.facts.clone());
        let container = Arc::new(self.namer.container(path, started, facts.as_deref())?);
        let id = Arc::clone(&container.id);
        let searches = u8::from(facts.is_some());
        let known = Known { container, found: now, ended: None, facts, searches };
        self.containers.insert(Arc::clone(&id), known);
        Some(id)
    }
}
