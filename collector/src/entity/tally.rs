// SPDX-License-Identifier: Apache-2.0
//! From what the kernel counted per cgroup to what it means per container: a container may have
//! cgroups below its own, and they come and go while its counters must not fall.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Container, Entities};

/// What the cgroups of one container add up to.
#[derive(Debug)]
pub struct Share<T> {
    /// Whose it is.
    pub container: Arc<Container>,
    /// The sum.
    pub value: T,
    /// One of its cgroups is still there.
    pub running: bool,
}

/// Keeps which container each cgroup belongs to, and the last values of those that ended.
pub struct Tally<T> {
    owners: HashMap<u64, Arc<Container>>,
    retired: HashMap<Arc<str>, T>,
    add: fn(&mut T, &T),
}

/// What one collection adds up to.
pub struct Sums<T> {
    /// One per container.
    pub shares: Vec<Share<T>>,
    /// Cgroups that belong to no container.
    pub others: Vec<(u64, T)>,
    /// Cgroups that are forgotten: their entries are to be removed from the kernel's table.
    pub forgotten: Vec<u64>,
}

impl<T: Clone> Tally<T> {
    /// `add` adds the second value to the first.
    pub fn new(add: fn(&mut T, &T)) -> Self {
        Self { owners: HashMap::new(), retired: HashMap::new(), add }
    }

    /// Adds up `entries`, the kernel's table. `find` tells the container of a cgroup that is new.
    pub fn sum(
        &mut self,
        entries: Vec<(u64, T)>,
        entities: &Entities,
        find: impl Fn(u64, &T) -> Option<Arc<Container>>,
    ) -> Sums<T> {
        let (present, gone): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(id, _)| entities.remembers_cgroup(*id));
        let mut others = Vec::new();
        let forgotten = gone.iter().map(|(id, _)| *id).collect();
        // First, so that what they leave behind is in the sums below.
        for (id, value) in gone {
            match self.owners.remove(&id) {
                Some(container) => self.retire(&container.id, value),
                None => others.push((id, value)),
            }
        }
        let mut sums: HashMap<Arc<str>, Share<T>> = HashMap::new();
        for (id, value) in present {
            match self.owners.get(&id).cloned().or_else(|| find(id, &value)) {
                Some(container) => {
                    self.owners.insert(id, Arc::clone(&container));
                    self.share(&mut sums, container, entities.is_running(id), &value);
                }
                None => others.push((id, value)),
            }
        }
        self.retired.retain(|id, _| sums.contains_key(id));
        Sums { shares: sums.into_values().collect(), others, forgotten }
    }

    fn share(
        &self,
        sums: &mut HashMap<Arc<str>, Share<T>>,
        container: Arc<Container>,
        running: bool,
        value: &T,
    ) {
        match sums.get_mut(&container.id) {
            Some(share) => {
                (self.add)(&mut share.value, value);
                share.running |= running;
            }
            None => {
                let mut sum = value.clone();
                if let Some(retired) = self.retired.get(&container.id) {
                    (self.add)(&mut sum, retired);
                }
                let id = Arc::clone(&container.id);
                sums.insert(id, Share { container, value: sum, running });
            }
        }
    }

    fn retire(&mut self, container: &Arc<str>, value: T) {
        match self.retired.get_mut(container) {
            Some(sum) => (self.add)(sum, &value),
            None => {
                self.retired.insert(Arc::clone(container), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::Config;
    use crate::hostfs::HostFs;

    /// A machine whose cgroups are folders.
    struct Machine {
        root: tempfile::TempDir,
        entities: Entities,
    }

    impl Machine {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("proc/self")).unwrap();
            fs::create_dir(root.path().join("cgroup")).unwrap();
            let mounts = "cgroup /cgroup cgroup rw,memory 0 0\n";
            fs::write(root.path().join("proc/self/mounts"), mounts).unwrap();
            let fs = HostFs::new(root.path());
            let entities = Entities::discover(&Config::default(), &fs);
            Self { root, entities }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.root.path().join("cgroup").join(path.replace("ID", &"ab".repeat(32)))
        }

        fn make(&self, path: &str) -> u64 {
            fs::create_dir_all(self.path(path)).unwrap();
            self.entities.refresh();
            fs::metadata(self.path(path)).unwrap().ino()
        }

        fn sum(&self, tally: &mut Tally<u64>, entries: &[(u64, u64)]) -> Sums<u64> {
            tally.sum(entries.to_vec(), &self.entities, |id, _| self.entities.container(id))
        }
    }

    fn tally() -> Tally<u64> {
        Tally::new(|sum, value| *sum += value)
    }

    #[test]
    fn cgroups_of_one_container_are_one_sum_and_others_stay_apart() {
        let machine = Machine::new();
        let outer = machine.make("docker/ID");
        let inner = machine.make("docker/ID/init.scope");
        let service = machine.make("system.slice");
        let sums = machine.sum(&mut tally(), &[(outer, 1), (inner, 10), (service, 100)]);
        assert_eq!(sums.shares.len(), 1);
        assert_eq!((sums.shares[0].value, sums.shares[0].running), (11, true));
        assert_eq!(sums.others, [(service, 100)]);
        assert!(sums.forgotten.is_empty());
    }

    #[test]
    fn a_cgroup_that_is_forgotten_leaves_its_count_to_its_container() {
        let machine = Machine::new();
        let outer = machine.make("docker/ID");
        let inner = machine.make("docker/ID/job");
        let mut tally = tally();
        machine.sum(&mut tally, &[(outer, 1), (inner, 10)]);
        // An id that no walk has seen stands in for one that is long gone.
        let gone = u64::MAX;
        let owner = machine.entities.container(inner).unwrap();
        tally.owners.insert(gone, owner);
        let sums = machine.sum(&mut tally, &[(outer, 1), (inner, 10), (gone, 100)]);
        assert_eq!(sums.forgotten, [gone]);
        assert_eq!(sums.shares[0].value, 111);
        let sums = machine.sum(&mut tally, &[(outer, 2), (inner, 10)]);
        assert_eq!(sums.shares[0].value, 112, "counters never fall");
    }

    #[test]
    fn an_ended_container_is_said_to_have_ended() {
        let machine = Machine::new();
        let id = machine.make("docker/ID");
        let mut tally = tally();
        machine.sum(&mut tally, &[(id, 5)]);
        fs::remove_dir(Path::new(&machine.path("docker/ID"))).unwrap();
        machine.entities.refresh();
        let sums = machine.sum(&mut tally, &[(id, 5)]);
        assert_eq!((sums.shares[0].value, sums.shares[0].running), (5, false));
    }
}
