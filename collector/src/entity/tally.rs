// SPDX-License-Identifier: Apache-2.0
//! From what the kernel counted per cgroup to what it means per container: a container may have
//! cgroups below its own, and they come and go while its counters must not fall.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Container, Entities, Place};

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

/// Keeps what cgroups that ended left behind.
pub struct Tally<T> {
    /// By container, as long as it is known.
    retired: HashMap<Arc<str>, T>,
    /// Of cgroups outside of containers.
    elsewhere: Option<T>,
    add: fn(&mut T, &T),
}

/// What one collection adds up to.
pub struct Sums<T> {
    /// One per container whose metrics are wanted.
    pub shares: Vec<Share<T>>,
    /// All cgroups that belong to no container; `None` where nothing was counted in them.
    pub elsewhere: Option<T>,
    /// Cgroups that ended: their entries are to be removed from the kernel's table.
    pub ended: Vec<u64>,
}

impl<T: Clone> Tally<T> {
    /// `add` adds the second value to the first.
    pub fn new(add: fn(&mut T, &T)) -> Self {
        Self { retired: HashMap::new(), elsewhere: None, add }
    }

    /// Adds up `entries`, the kernel's table. `find` tells the container of a cgroup that came and
    /// went unseen.
    pub fn sum(
        &mut self,
        entries: &[(u64, T)],
        entities: &Entities,
        find: impl Fn(u64, &T) -> Option<Arc<Container>>,
    ) -> Sums<T> {
        let places = entities.places(entries.iter().map(|(id, _)| *id));
        self.sum_at(entries, places, entities, find)
    }

    /// The same for cgroups whose `places` are known.
    pub fn sum_at(
        &mut self,
        entries: &[(u64, T)],
        places: Vec<Place>,
        entities: &Entities,
        find: impl Fn(u64, &T) -> Option<Arc<Container>>,
    ) -> Sums<T> {
        let mut running: HashMap<Arc<str>, Share<T>> = HashMap::new();
        let mut elsewhere = None;
        let mut ended = Vec::new();
        for ((id, value), place) in entries.iter().zip(places) {
            match place {
                Place::Running(Some(container)) => self.share(&mut running, container, value),
                Place::Running(None) => put(self.add, &mut elsewhere, value),
                Place::Ended(container) => {
                    self.retire(container, value);
                    ended.push(*id);
                }
                Place::Unknown => {
                    self.retire(find(*id, value), value);
                    ended.push(*id);
                }
            }
        }
        if let Some(before) = &self.elsewhere {
            put(self.add, &mut elsewhere, before);
        }
        Sums { shares: self.with_retired(running, entities), elsewhere, ended }
    }

    fn share(
        &self,
        shares: &mut HashMap<Arc<str>, Share<T>>,
        container: Arc<Container>,
        value: &T,
    ) {
        match shares.get_mut(&container.id) {
            Some(share) => (self.add)(&mut share.value, value),
            None => {
                let id = Arc::clone(&container.id);
                shares.insert(id, Share { container, value: value.clone(), running: true });
            }
        }
    }

    /// Moves what an ended cgroup counted to its container's own, or to those of no container.
    fn retire(&mut self, container: Option<Arc<Container>>, value: &T) {
        let Some(container) = container else {
            put(self.add, &mut self.elsewhere, value);
            return;
        };
        match self.retired.get_mut(&container.id) {
            Some(sum) => (self.add)(sum, value),
            None => {
                self.retired.insert(Arc::clone(&container.id), value.clone());
            }
        }
    }

    /// Adds what ended cgroups left behind: a container's counters must not fall.
    fn with_retired(
        &mut self,
        mut shares: HashMap<Arc<str>, Share<T>>,
        entities: &Entities,
    ) -> Vec<Share<T>> {
        let add = self.add;
        self.retired.retain(|id, value| {
            if let Some(share) = shares.get_mut(id) {
                add(&mut share.value, value);
                return true;
            }
            let Some(container) = entities.container(id) else { return false };
            let share = Share { container, value: value.clone(), running: false };
            shares.insert(Arc::clone(id), share);
            true
        });
        shares.into_values().filter(|share| share.container.is_collected()).collect()
    }
}

fn put<T: Clone>(add: fn(&mut T, &T), sum: &mut Option<T>, value: &T) {
    match sum {
        Some(sum) => add(sum, value),
        None => *sum = Some(value.clone()),
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

    /// The kernel's name of a cgroup that no walk has seen.
    const GONE: &str = "abababababababababababababababababababababababababababababababab";

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
            fs::metadata(self.path(path)).unwrap().ino()
        }

        fn sum(&self, tally: &mut Tally<u64>, entries: &[(u64, u64)]) -> Sums<u64> {
            self.entities.refresh();
            tally.sum(entries, &self.entities, |id, _| self.entities.container_of_event(id, GONE))
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
        assert_eq!(sums.elsewhere, Some(100));
        assert!(sums.ended.is_empty());
    }

    #[test]
    fn a_cgroup_that_ends_leaves_its_count_to_its_container() {
        let machine = Machine::new();
        let outer = machine.make("docker/ID");
        let inner = machine.make("docker/ID/job");
        let service = machine.make("job.service");
        let mut tally = tally();
        machine.sum(&mut tally, &[(outer, 1), (inner, 10), (service, 100)]);
        for path in ["docker/ID/job", "job.service"] {
            fs::remove_dir(machine.path(path)).unwrap();
        }
        let sums = machine.sum(&mut tally, &[(outer, 2), (inner, 20), (service, 200)]);
        assert_eq!(sums.ended, [inner, service]);
        assert_eq!((sums.shares[0].value, sums.elsewhere), (22, Some(200)));
        let sums = machine.sum(&mut tally, &[(outer, 3)]);
        assert_eq!((sums.shares[0].value, sums.elsewhere), (23, Some(200)), "counters never fall");
    }

    #[test]
    fn a_container_that_came_and_went_unseen_has_its_count() {
        let machine = Machine::new();
        let unseen = u64::MAX;
        let mut tally = tally();
        let sums = machine.sum(&mut tally, &[(unseen, 5)]);
        assert_eq!(sums.ended, [unseen]);
        assert_eq!((sums.shares[0].value, sums.shares[0].running), (5, false));
        assert_eq!(&*sums.shares[0].container.id, GONE);
        let sums = machine.sum(&mut tally, &[]);
        assert_eq!(sums.shares[0].value, 5);
    }

    #[test]
    fn an_ended_container_is_said_to_have_ended() {
        let machine = Machine::new();
        let id = machine.make("docker/ID");
        let mut tally = tally();
        machine.sum(&mut tally, &[(id, 5)]);
        fs::remove_dir(Path::new(&machine.path("docker/ID"))).unwrap();
        let sums = machine.sum(&mut tally, &[(id, 5)]);
        assert_eq!((sums.shares[0].value, sums.shares[0].running), (5, false));
    }
}
