// SPDX-License-Identifier: Apache-2.0
//! On cgroup v1 each controller may have a hierarchy of its own, with ids of its own. Containers are
//! known by the memory controller's; runtimes give them the same path in the others.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Entities, Place};
use crate::hostfs::HostFs;

/// A cgroup that ended is noticed after this time at the latest.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Directories that are known at once.
const MAX_CGROUPS: usize = 65_536;

/// Where cgroups of one controller are, by their ids in its hierarchy.
pub struct Hierarchy {
    /// `None` where its ids are those that containers are known by.
    other: Option<Other>,
}

struct Other {
    root: PathBuf,
    cgroups: HashMap<u64, Seen>,
    walk: u64,
    walked: Option<Instant>,
}

struct Seen {
    path: PathBuf,
    walk: u64,
}

impl Hierarchy {
    /// The hierarchy with `controller`, by its name in v1.
    pub fn of(fs: &HostFs, controller: &str) -> Self {
        let (mount, known) = (fs.controller(controller), fs.controller("memory"));
        let other = mount.filter(|mount| Some(mount) != known.as_ref()).map(|mount| Other {
            root: fs.rooted(&mount.root),
            cgroups: HashMap::new(),
            walk: 0,
            walked: None,
        });
        Self { other }
    }

    /// Where each of these cgroups is.
    pub fn places(&mut self, ids: &[u64], entities: &Entities) -> Vec<Place> {
        let Some(other) = &mut self.other else { return entities.places(ids.iter().copied()) };
        let now = Instant::now();
        let is_old = other.walked.is_none_or(|walked| now - walked >= MAX_AGE);
        if is_old || ids.iter().any(|id| !other.cgroups.contains_key(id)) {
            other.look(now);
            entities.refresh();
        }
        ids.iter().map(|id| other.place(*id, entities)).collect()
    }
}

impl Other {
    fn place(&self, id: u64, entities: &Entities) -> Place {
        let Some(seen) = self.cgroups.get(&id) else { return Place::Unknown };
        let around = seen.path.ancestors().filter_map(Path::to_str);
        let container = around.map(|path| entities.container_at(path)).find(Option::is_some);
        let container = container.flatten();
        if seen.walk == self.walk { Place::Running(container) } else { Place::Ended(container) }
    }

    fn look(&mut self, now: Instant) {
        self.walk += 1;
        self.walked = Some(now);
        let root = self.root.clone();
        self.visit(&root, Path::new("/"));
        if let Ok(metadata) = fs::metadata(&root) {
            self.see(std::os::unix::fs::MetadataExt::ino(&metadata), PathBuf::from("/"));
        }
        // What ended is told of once more.
        let walk = self.walk;
        self.cgroups.retain(|_, seen| seen.walk + 1 >= walk);
    }

    fn visit(&mut self, folder: &Path, path: &Path) {
        let Ok(children) = fs::read_dir(folder) else { return };
        for child in children.flatten() {
            let is_folder = child.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && self.cgroups.len() < MAX_CGROUPS {
                let path = path.join(child.file_name());
                self.visit(&child.path(), &path);
                self.see(child.ino(), path);
            }
        }
    }

    fn see(&mut self, id: u64, path: PathBuf) {
        self.cgroups.insert(id, Seen { path, walk: self.walk });
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_container_is_found_by_its_id_in_another_hierarchy() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("proc/self")).unwrap();
        let mounts = "cgroup /memory cgroup rw,memory 0 0\ncgroup /blkio cgroup rw,blkio 0 0\n";
        fs::write(at("proc/self/mounts"), mounts).unwrap();
        let id = "ab".repeat(32);
        for hierarchy in ["memory", "blkio"] {
            fs::create_dir_all(at(&format!("{hierarchy}/docker/{id}/job"))).unwrap();
        }
        let fs_of = HostFs::new(root.path());
        let entities = Entities::discover(&Config::default(), &fs_of);
        let inode = |path: &str| fs::metadata(at(path)).unwrap().ino();
        let ids = [
            inode(&format!("blkio/docker/{id}")),
            inode(&format!("blkio/docker/{id}/job")),
            inode("blkio/docker"),
            u64::MAX,
        ];
        let mut hierarchy = Hierarchy::of(&fs_of, "blkio");
        let places = hierarchy.places(&ids, &entities);
        let is_container =
            |place: &Place| matches!(place, Place::Running(Some(found)) if *found.id == *id);
        assert!(is_container(&places[0]) && is_container(&places[1]));
        assert!(matches!(places[2], Place::Running(None)));
        assert!(matches!(places[3], Place::Unknown));

        fs::remove_dir(at(&format!("blkio/docker/{id}/job"))).unwrap();
        let places = hierarchy.places(&ids, &entities);
        assert!(matches!(&places[1], Place::Ended(Some(found)) if *found.id == *id));
        assert!(is_container(&places[0]));
    }

    #[test]
    fn ids_of_the_one_hierarchy_are_those_of_containers() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("proc/self")).unwrap();
        fs::write(at("proc/self/mounts"), "cgroup2 /cgroup cgroup2 rw 0 0\n").unwrap();
        let id = "ab".repeat(32);
        fs::create_dir_all(at(&format!("cgroup/docker/{id}"))).unwrap();
        let fs_of = HostFs::new(root.path());
        let entities = Entities::discover(&Config::default(), &fs_of);
        let inode = fs::metadata(at(&format!("cgroup/docker/{id}"))).unwrap().ino();
        let places = Hierarchy::of(&fs_of, "blkio").places(&[inode], &entities);
        assert!(matches!(&places[0], Place::Running(Some(found)) if *found.id == *id));
    }
}
