// SPDX-License-Identifier: Apache-2.0
//! Whose is it? The host, and the containers that its cgroups tell.

mod cgroup;
mod config;
mod container;
mod discovery;
mod filter;
mod hierarchy;
mod host;
mod names;
mod network;
mod network_owners;
mod path;
mod pod;
pub mod runtime;
mod tally;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config::Config;
use crate::hostfs::HostFs;
use crate::signal::{Attribute, Resource};
use crate::sync::lock;

pub use cgroup::{Census, Keep, Place};
pub use config::ContainerConfig;
pub use container::Container;
pub use discovery::Discovery;
pub use filter::{ContainerFilter, ContainerFilterConfig};
pub use hierarchy::Hierarchy;
pub use network::{Network, Networks, host_network};
pub use network_owners::NetworkOwners;
pub use path::{ContainerName, container_at};
pub use pod::{PodContainer, PodFacts};
pub use tally::{Share, Tally};

use cgroup::{CgroupIndex, first_process};
use discovery::Bell;
use names::Namer;

/// An event waits this long for the names of a container that was made just before it.
const MAX_NAMING: Duration = Duration::from_millis(50);

/// Everything that points and events are attributed to. Its lock is held for looking at memory and
/// at cgroup directories, never for files of runtimes or for the kubelet.
pub struct Entities {
    fs: HostFs,
    host: Arc<Resource>,
    namer: Arc<Namer>,
    index: Mutex<CgroupIndex>,
    /// The names of a container were looked up.
    named: Condvar,
    /// Wakes [`Discovery`].
    bell: Bell,
    /// The kubelet is to be asked.
    pods_wanted: Notify,
}

impl Entities {
    /// Describes this host and looks at its cgroups.
    pub fn discover(config: &Config, fs: &HostFs) -> Self {
        let (host, shared) = host::describe(config, fs);
        let namer = Arc::new(Namer::new(shared, ContainerFilter::new(&config.container.filter)));
        let keep = config.container.keep();
        let index = CgroupIndex::new(fs.controller("memory"), fs, Arc::clone(&namer), keep);
        let entities = Self {
            fs: fs.clone(),
            host: Arc::new(host),
            namer,
            index: Mutex::new(index),
            named: Condvar::new(),
            bell: Bell::new(),
            pods_wanted: Notify::new(),
        };
        entities.refresh();
        entities.look_up_names(false);
        entities
    }

    /// The host's Resource.
    pub fn host(&self) -> &Arc<Resource> {
        &self.host
    }

    /// What every Resource carries.
    pub fn shared(&self) -> &[Attribute] {
        self.namer.shared()
    }

    /// Learns which cgroups came and went.
    pub fn refresh(&self) {
        let mut index = self.index();
        index.refresh(Instant::now());
        self.ring_for_names(&index);
    }

    /// Looks at all cgroups, whatever was told of them.
    pub fn sweep(&self) {
        self.index().sweep(Instant::now());
    }

    /// Asks the runtimes' files for the names of containers that have none, of those that could not
    /// be told before only where `again` says so.
    pub fn look_up_names(&self, again: bool) {
        let nameless = self.index().nameless(again);
        let mut lacks_pod = false;
        for id in nameless {
            let facts = runtime::look_up(&self.fs, &id);
            let mut index = self.index();
            index.set_facts(&id, facts);
            lacks_pod |= index.container(&id).is_some_and(|found| self.namer.lacks_pod(found));
            drop(index);
            self.named.notify_all();
        }
        if lacks_pod {
            self.pods_wanted.notify_one();
        }
    }

    /// Containers that run and whose metrics are wanted, in no order.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        let index = self.index();
        let running = index.running(Instant::now());
        running.filter(|container| container.is_collected()).cloned().collect()
    }

    /// Containers that run, with what holds the namespaces of pods, in no order.
    pub fn containers_and_sandboxes(&self) -> Vec<Arc<Container>> {
        self.index().running(Instant::now()).cloned().collect()
    }

    /// A process of the container.
    pub fn first_process_of(&self, container: &Container) -> Option<u32> {
        let folder = self.index().folder(&container.path)?;
        first_process(&folder)
    }

    /// The container with this id, running or ended a while ago.
    pub fn container(&self, id: &str) -> Option<Arc<Container>> {
        self.index().container(id).cloned()
    }

    /// The container whose cgroup, or one below it, is at `path`, if it is there.
    pub fn container_at(&self, path: &str) -> Option<Arc<Container>> {
        self.index().container_at(path)
    }

    /// Where each of these cgroups is, after a look at what has changed if one is not known.
    pub fn places(&self, ids: impl Iterator<Item = u64> + Clone) -> Vec<Place> {
        let mut index = self.index();
        for id in ids.clone() {
            index.refresh_for(id, Instant::now());
        }
        self.ring_for_names(&index);
        ids.map(|id| index.place(id)).collect()
    }

    /// The container of an event: by its cgroup's id, or, where the cgroup was never seen, by the
    /// last part of its path, which the kernel recorded.
    pub fn container_of_event(&self, cgroup_id: u64, cgroup_name: &str) -> Option<Arc<Container>> {
        let mut index = self.index();
        index.refresh_for(cgroup_id, Instant::now());
        let id = match index.place(cgroup_id) {
            Place::Running(container) | Place::Ended(container) => Arc::clone(&container?.id),
            Place::Unknown => index.remember_ended(cgroup_id, cgroup_name, Instant::now())?,
        };
        self.ring_for_names(&index);
        let is_nameless = |index: &mut CgroupIndex| !index.is_named(&id);
        let waited = self.named.wait_timeout_while(index, MAX_NAMING, is_nameless);
        let (index, _) = waited.unwrap_or_else(PoisonError::into_inner);
        index.container(&id).cloned()
    }

    /// The container that a process runs in (`/proc/<pid>/cgroup`, man cgroups(7)).
    pub fn container_of_process(&self, pid: u32) -> Option<Arc<Container>> {
        let text = self.fs.read_proc(&format!("{pid}/cgroup")).ok()?;
        let path = path::cgroup_of_process(&text)?;
        let mut index = self.index();
        index.refresh(Instant::now());
        index.container_at(path)
    }

    /// Path of the cgroup below its hierarchy's root, `/` for the root itself.
    pub fn cgroup_path(&self, cgroup_id: u64) -> Option<Arc<str>> {
        let mut index = self.index();
        index.refresh_for(cgroup_id, Instant::now());
        index.path(cgroup_id)
    }

    /// What is known, in numbers.
    pub fn census(&self) -> Census {
        self.index().census()
    }

    /// Takes the kubelet's word on all pods of this host.
    pub fn set_pods(&self, pods: Vec<PodFacts>) {
        self.namer.set_pods(pods);
        self.index().describe_all();
    }

    /// Ends when a container was found whose pod is not known.
    pub async fn pods_wanted(&self) {
        self.pods_wanted.notified().await;
    }

    /// The pod of a container that runs is not known.
    pub fn lacks_pods(&self) -> bool {
        let index = self.index();
        index.running(Instant::now()).any(|container| self.namer.lacks_pod(container))
    }

    fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.index().descriptor()
    }

    fn ring_for_names(&self, index: &CgroupIndex) {
        if index.has_nameless() {
            self.bell.ring();
        }
    }

    fn index(&self) -> MutexGuard<'_, CgroupIndex> {
        lock(&self.index)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_process_is_found_in_its_container_also_below_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("proc/self")).unwrap();
        let mounts =
            "cgroup /cgroup/memory cgroup rw,memory 0 0\ncgroup2 /cgroup/v2 cgroup2 rw 0 0\n";
        fs::write(at("proc/self/mounts"), mounts).unwrap();
        let id = "ab".repeat(32);
        fs::create_dir_all(at(&format!("cgroup/memory/docker/{id}/init.scope"))).unwrap();
        fs::create_dir_all(at("cgroup/v2/docker")).unwrap();
        let entities = Entities::discover(&Config::default(), &HostFs::new(root.path()));
        for (pid, cgroup, is_found) in [
            (10, format!("4:memory:/docker/{id}\n0::/\n"), true),
            (11, format!("4:memory:/docker/{id}/init.scope\n0::/\n"), true),
            (12, "4:memory:/\n0::/\n".to_owned(), false),
            (13, format!("4:memory:/docker/{}\n", "cd".repeat(32)), false),
            (14, "junk".to_owned(), false),
        ] {
            fs::create_dir(at(&format!("proc/{pid}"))).unwrap();
            fs::write(at(&format!("proc/{pid}/cgroup")), cgroup).unwrap();
            let found = entities.container_of_process(pid);
            assert_eq!(
                found.map(|container| container.id.to_string()),
                is_found.then(|| id.clone())
            );
        }
        assert!(entities.container_of_process(99).is_none());
    }
}
