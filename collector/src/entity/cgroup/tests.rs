// SPDX-License-Identifier: Apache-2.0
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::entity::filter::ContainerFilter;

const KEEP: Duration = Duration::from_secs(300);

/// A hierarchy that is a folder.
struct Machine {
    root: tempfile::TempDir,
    index: CgroupIndex,
    now: Instant,
}

impl Machine {
    fn new() -> Self {
        Self::keeping(1024)
    }

    fn keeping(number: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("cgroup")).unwrap();
        let mount = CgroupMount { root: PathBuf::from("/cgroup"), v1: false };
        let namer = Arc::new(Namer::new(Vec::new(), ContainerFilter::default()));
        let keep = Keep { time: KEEP, number };
        let mut index = CgroupIndex::new(Some(mount), &HostFs::new(root.path()), namer, keep);
        let now = Instant::now();
        index.refresh(now);
        Self { root, index, now }
    }

    /// The same where the kernel watches nothing.
    fn blind() -> Self {
        let mut machine = Self::new();
        machine.index.unwatch("no watches");
        machine
    }

    fn folder(&self, path: &str) -> PathBuf {
        self.root.path().join("cgroup").join(path.replace("ID", &id()))
    }

    fn make(&self, path: &str) -> u64 {
        fs::create_dir_all(self.folder(path)).unwrap();
        fs::metadata(self.folder(path)).unwrap().ino()
    }

    fn remove(&self, path: &str) {
        fs::remove_dir(self.folder(path)).unwrap();
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
        self.index.refresh(self.now);
    }

    fn soon(&mut self) {
        self.later(Duration::from_millis(1));
    }

    fn running(&self) -> usize {
        self.index.running(self.now + MAX_NAMELESS).count()
    }

    fn place(&self, id: u64) -> Place {
        self.index.place(id)
    }
}

fn id() -> String {
    "ab".repeat(32)
}

#[test]
fn what_comes_and_goes_is_known_without_a_walk() {
    let mut machine = Machine::new();
    let walks = machine.index.walk;
    let outer = machine.make("docker/ID");
    let inner = machine.make("docker/ID/init.scope");
    machine.soon();
    assert!(matches!(machine.place(outer), Place::Running(Some(_))));
    let Place::Running(Some(container)) = machine.place(inner) else { panic!("it runs") };
    assert_eq!(*container.id, id());
    assert_eq!(*machine.index.path(inner).unwrap(), *format!("/docker/{}/init.scope", id()));
    // A cgroup that is made below one that was found by its event.
    let deep = machine.make("docker/ID/init.scope/a/b");
    machine.soon();
    assert!(matches!(machine.place(deep), Place::Running(Some(_))));
    machine.remove("docker/ID/init.scope/a/b");
    machine.soon();
    assert!(matches!(machine.place(deep), Place::Ended(Some(_))));
    assert_eq!(machine.running(), 1);
    assert_eq!(machine.index.walk, walks);
}

#[test]
fn an_ended_container_stays_known_for_a_while_and_then_goes() {
    for mut machine in [Machine::new(), Machine::blind()] {
        let cgroup = machine.make("docker/ID");
        machine.later(BLIND_SWEEP);
        assert_eq!(machine.running(), 1);
        machine.remove("docker/ID");
        machine.later(BLIND_SWEEP);
        assert_eq!(machine.running(), 0);
        assert!(machine.index.container(&id()).is_some());
        assert!(matches!(machine.place(cgroup), Place::Ended(Some(_))));
        machine.later(KEEP);
        assert!(machine.index.container(&id()).is_none());
        assert!(matches!(machine.place(cgroup), Place::Unknown));
        assert_eq!(machine.index.containers.len(), 0);
    }
}

#[test]
fn of_many_that_ended_the_oldest_go_first() {
    let mut machine = Machine::keeping(10);
    for number in 0..30 {
        let path = format!("docker/{number:064x}");
        machine.make(&path);
        machine.soon();
        machine.remove(&path);
        machine.soon();
    }
    let is_known = |number: u32| machine.index.container(&format!("{number:064x}")).is_some();
    assert!(!is_known(19) && is_known(20) && is_known(29));
    assert_eq!(machine.index.census().ended, 10);
    assert_eq!(machine.index.watch.as_ref().unwrap().watched(), 2);
    // The root, `docker`, and what is remembered; the folders of a test may have the same inode.
    assert!(machine.index.cgroups.len() <= 2 + 10, "{}", machine.index.cgroups.len());
}

#[test]
fn a_container_that_starts_again_counts_anew_and_is_forgotten_once() {
    let mut machine = Machine::new();
    machine.make("docker/ID");
    machine.soon();
    machine.index.set_facts(&id(), RuntimeFacts { name: Some("web".into()), ..facts() });
    let before = Arc::clone(machine.index.container(&id()).unwrap());
    machine.remove("docker/ID");
    machine.soon();
    machine.make("docker/ID");
    machine.soon();
    let after = Arc::clone(machine.index.container(&id()).unwrap());
    assert!(after.started > before.started);
    assert_eq!(after.resource, before.resource, "its names are still known");
    assert_eq!(machine.running(), 1);
    machine.later(KEEP);
    assert_eq!(machine.running(), 1, "the old one is forgotten, the new one is not");
}

fn facts() -> RuntimeFacts {
    RuntimeFacts { runtime: Some("docker"), ..RuntimeFacts::default() }
}

#[test]
fn one_that_came_and_went_unseen_is_counted_and_found_by_its_name() {
    let mut machine = Machine::new();
    let pod = "kubepods/burstable/pod275ecb36-5aa8-4c2a-9c47-d8bb681b9aff";
    machine.make(pod);
    machine.soon();
    let gone = machine.make(&format!("{pod}/ID"));
    machine.remove(&format!("{pod}/ID"));
    machine.soon();
    assert_eq!(machine.index.census().unseen, 1);
    assert!(matches!(machine.place(gone), Place::Unknown));
    let found = machine.index.remember_ended(gone, &id(), machine.now).unwrap();
    let container = machine.index.container(&found).unwrap();
    assert!(container.path.starts_with("/kubepods/burstable"), "{}", container.path);
    assert!(matches!(machine.place(gone), Place::Ended(Some(_))));
    assert_eq!(machine.running(), 0);
    assert!(machine.index.remember_ended(7, "system.slice", machine.now).is_none());
}

#[test]
fn names_are_asked_for_once_and_again_where_nobody_knew() {
    let mut machine = Machine::new();
    machine.make("docker/ID");
    machine.soon();
    assert_eq!(machine.index.running(machine.now).count(), 0, "its names are looked up first");
    assert_eq!(machine.index.nameless(false), [id().into()]);
    machine.index.set_facts(&id(), RuntimeFacts::default());
    assert_eq!(machine.index.running(machine.now).count(), 1);
    assert!(machine.index.nameless(false).is_empty());
    for _ in 1..MAX_SEARCHES {
        assert_eq!(machine.index.nameless(true).len(), 1);
        machine.index.set_facts(&id(), RuntimeFacts::default());
    }
    assert!(machine.index.nameless(true).is_empty());
}

#[test]
fn without_watches_an_unknown_id_is_searched_for_but_not_in_a_loop() {
    let mut machine = Machine::blind();
    let late = machine.make("late");
    machine.index.refresh_for(late, machine.now);
    assert!(machine.index.path(late).is_none());
    machine.index.refresh_for(late, machine.now + MIN_SEARCH);
    assert!(machine.index.path(late).is_some());
    assert!(machine.index.census().unwatched.contains("max_user_watches"));
}

#[test]
fn a_cgroup_that_is_renamed_is_known_by_its_new_path() {
    let mut machine = Machine::new();
    let cgroup = machine.make("old");
    machine.soon();
    fs::rename(machine.folder("old"), machine.folder("new")).unwrap();
    machine.soon();
    assert_eq!(*machine.index.path(cgroup).unwrap(), *"/new");
    assert!(matches!(machine.place(cgroup), Place::Running(None)));
}

#[test]
fn a_walk_finds_what_nobody_told() {
    let mut machine = Machine::new();
    let cgroup = machine.make("docker/ID");
    machine.index.watch.as_mut().unwrap().changes();
    machine.soon();
    assert!(matches!(machine.place(cgroup), Place::Unknown));
    machine.index.sweep(machine.now);
    assert!(matches!(machine.place(cgroup), Place::Running(Some(_))));
}

#[test]
fn without_a_hierarchy_nothing_is_known() {
    let namer = Arc::new(Namer::new(Vec::new(), ContainerFilter::default()));
    let keep = Keep { time: KEEP, number: 16 };
    let mut index = CgroupIndex::new(None, &HostFs::new("/"), namer, keep);
    index.refresh(Instant::now());
    assert!(matches!(index.place(1), Place::Unknown));
}
