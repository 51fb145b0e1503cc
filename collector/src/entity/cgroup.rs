// SPDX-License-Identifier: Apache-2.0
//! From the kernel's cgroup id (the inode of the cgroup's directory) to its path and container.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Container;
use super::container::{ContainerName, container_at};
use crate::hostfs::{CgroupMount, HostFs};
use crate::kernel::{counter_start, unix_now};
use crate::signal::{Resource, UnixNanos};

/// How long an ended cgroup is still known, for events that come late.
const REMEMBER_ENDED: Duration = Duration::from_secs(300);
/// Directories looked at in one walk; a machine has some thousands.
const MAX_CGROUPS: usize = 65_536;
/// The kernel's own default limit is far above what runtimes nest.
const MAX_DEPTH: usize = 32;
/// Looking for one unknown id walks the tree; not more often than this.
const MIN_SEARCH_INTERVAL: Duration = Duration::from_millis(100);

struct Entry {
    path: Arc<str>,
    container: Option<Arc<Container>>,
    ended: Option<Instant>,
    walk: u64,
}

/// All cgroups of the hierarchy that processes are attributed by.
pub struct CgroupIndex {
    fs: HostFs,
    root: Option<PathBuf>,
    entries: HashMap<u64, Entry>,
    walk: u64,
    searched: Option<Instant>,
}

/// Makes the Resource of a container that is seen for the first time; `None` where it is no
/// container of the user.
pub(super) type Describe<'a> = dyn Fn(&ContainerName<'_>) -> Option<Resource> + 'a;

impl CgroupIndex {
    /// An empty index of `mount`.
    pub fn new(mount: Option<CgroupMount>, fs: &HostFs) -> Self {
        let root = mount.map(|mount| fs.rooted(&mount.root));
        Self { fs: fs.clone(), root, entries: HashMap::new(), walk: 0, searched: None }
    }

    /// Walks the hierarchy: new cgroups are added, missing ones are marked as ended, those that
    /// ended long ago are forgotten.
    pub fn refresh(&mut self, now: Instant, describe: &Describe<'_>) {
        let Some(root) = self.root.clone() else { return };
        self.walk += 1;
        if let Ok(metadata) = fs::metadata(&root) {
            self.see(metadata.ino(), Path::new("/"), None, describe);
        }
        self.visit(&root, &mut PathBuf::from("/"), None, describe);
        let walk = self.walk;
        self.entries.retain(|_, entry| {
            if entry.walk == walk {
                entry.ended = None;
                return true;
            }
            now.duration_since(*entry.ended.get_or_insert(now)) < REMEMBER_ENDED
        });
    }

    /// Walks the hierarchy for an id that is not known, unless that was done just now.
    pub fn refresh_for(&mut self, id: u64, now: Instant, describe: &Describe<'_>) {
        let recently = |at: Instant| now.duration_since(at) < MIN_SEARCH_INTERVAL;
        if self.contains(id) || self.searched.is_some_and(recently) {
            return;
        }
        self.searched = Some(now);
        self.refresh(now, describe);
    }

    /// The cgroup is there or ended a short while ago.
    pub fn contains(&self, id: u64) -> bool {
        self.entries.contains_key(&id)
    }

    /// Its path below the hierarchy's root.
    pub fn path(&self, id: u64) -> Option<Arc<str>> {
        self.entries.get(&id).map(|entry| Arc::clone(&entry.path))
    }

    /// The container it lies in.
    pub fn container(&self, id: u64) -> Option<Arc<Container>> {
        self.entries.get(&id)?.container.clone()
    }

    /// The container it lies in, if the cgroup is there.
    pub fn running_container(&self, id: u64) -> Option<Arc<Container>> {
        self.entries.get(&id).filter(|entry| entry.ended.is_none())?.container.clone()
    }

    /// Notes a container that ended before any walk saw its cgroup.
    pub fn remember_ended(&mut self, id: u64, path: &str, container: Arc<Container>, now: Instant) {
        let walk = self.walk;
        self.entries.entry(id).or_insert_with(|| Entry {
            path: path.into(),
            container: Some(container),
            ended: Some(now),
            walk: walk.wrapping_sub(1),
        });
    }

    /// All containers that run.
    pub fn running_containers(&self) -> Vec<Arc<Container>> {
        let own = self.entries.values().filter(|entry| entry.ended.is_none()).filter_map(|entry| {
            // Cgroups below the container's own are left out.
            entry.container.as_ref().filter(|container| container.path == entry.path)
        });
        own.cloned().collect()
    }

    fn visit(
        &mut self,
        folder: &Path,
        path: &mut PathBuf,
        around: Option<&Arc<Container>>,
        describe: &Describe<'_>,
    ) {
        if path.components().count() > MAX_DEPTH {
            return;
        }
        // A cgroup that ends while we look is seen as ended at the next walk.
        let Ok(children) = fs::read_dir(folder) else { return };
        for child in children.flatten() {
            let is_cgroup = child.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_cgroup || self.entries.len() >= MAX_CGROUPS {
                continue;
            }
            let name: &OsStr = &child.file_name();
            path.push(name);
            let container = self.see(child.ino(), path, around, describe);
            self.visit(&folder.join(name), path, container.as_ref(), describe);
            path.pop();
        }
    }

    /// Notes one cgroup; cgroups below a container's belong to it.
    fn see(
        &mut self,
        id: u64,
        path: &Path,
        around: Option<&Arc<Container>>,
        describe: &Describe<'_>,
    ) -> Option<Arc<Container>> {
        let (walk, root, fs) = (self.walk, &self.root, &self.fs);
        let entry = self.entries.entry(id).or_insert_with(|| {
            let shown: Arc<str> = path.to_string_lossy().into();
            let own = container_at(path).and_then(|name| {
                let resource = Arc::new(describe(&name)?);
                let folder =
                    root.as_ref().map(|root| root.join(path.strip_prefix("/").unwrap_or(path)));
                Some(Arc::new(Container {
                    id: name.id.into(),
                    resource,
                    path: Arc::clone(&shown),
                    started: folder.map_or_else(unix_now, |folder| started(fs, &folder)),
                }))
            });
            let container = own.or_else(|| around.cloned());
            Entry { path: shown, container, ended: None, walk }
        });
        entry.walk = walk;
        entry.container.clone()
    }
}

/// When the first process of a cgroup started (field 22 of `/proc/<pid>/stat`, proc(5)); now where
/// it has none.
fn started(fs: &HostFs, folder: &Path) -> UnixNanos {
    let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let ticks = processes.lines().next().and_then(|pid| {
        let stat = fs.read_proc(&format!("{pid}/stat")).ok()?;
        let behind_name = stat.rsplit_once(')')?.1;
        behind_name.split_ascii_whitespace().nth(19)?.parse::<u64>().ok()
    });
    let hertz = rustix::param::clock_ticks_per_second().max(1);
    ticks.map_or_else(unix_now, |ticks| counter_start(ticks.saturating_mul(1_000_000_000) / hertz))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::EntityKind;

    fn describe(_: &ContainerName<'_>) -> Option<Resource> {
        Some(Resource { kind: EntityKind::Container, attributes: Vec::new() })
    }

    fn index(root: &Path) -> CgroupIndex {
        let mount = CgroupMount { root: PathBuf::from("/cgroup"), v1: false };
        CgroupIndex::new(Some(mount), &HostFs::new(root))
    }

    fn make(root: &Path, path: &str) -> u64 {
        let folder = root.join("cgroup").join(path);
        fs::create_dir_all(&folder).unwrap();
        fs::metadata(folder).unwrap().ino()
    }

    #[test]
    fn an_ended_container_stays_known_for_a_while_and_then_goes() {
        let root = tempfile::tempdir().unwrap();
        let id = make(root.path(), &format!("docker/{}", "ab".repeat(32)));
        let mut index = index(root.path());
        let start = Instant::now();
        index.refresh(start, &describe);
        assert!(index.running_container(id).is_some());
        fs::remove_dir(root.path().join(format!("cgroup/docker/{}", "ab".repeat(32)))).unwrap();
        index.refresh(start, &describe);
        assert!(index.running_container(id).is_none());
        assert!(index.container(id).is_some());
        index.refresh(start + REMEMBER_ENDED, &describe);
        assert!(!index.contains(id));
    }

    #[test]
    fn nested_cgroups_belong_to_the_same_container() {
        let root = tempfile::tempdir().unwrap();
        let container = make(root.path(), &format!("docker/{}", "cd".repeat(32)));
        let nested = make(root.path(), &format!("docker/{}/init.scope", "cd".repeat(32)));
        let mut index = index(root.path());
        index.refresh(Instant::now(), &describe);
        let (outer, inner) = (index.container(container), index.container(nested));
        assert!(Arc::ptr_eq(&outer.unwrap().resource, &inner.unwrap().resource));
        assert_eq!(
            &*index.path(nested).unwrap(),
            format!("/docker/{}/init.scope", "cd".repeat(32))
        );
    }

    #[test]
    fn an_unknown_id_is_searched_for_but_not_in_a_loop() {
        let root = tempfile::tempdir().unwrap();
        let mut index = index(root.path());
        let now = Instant::now();
        index.refresh_for(1, now, &describe);
        let late = make(root.path(), "late");
        index.refresh_for(late, now, &describe);
        assert!(!index.contains(late));
        index.refresh_for(late, now + MIN_SEARCH_INTERVAL, &describe);
        assert!(index.contains(late));
    }

    #[test]
    fn without_a_hierarchy_nothing_is_known() {
        let mut index = CgroupIndex::new(None, &HostFs::new("/"));
        index.refresh(Instant::now(), &describe);
        assert!(!index.contains(1));
    }
}
