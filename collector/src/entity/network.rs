// SPDX-License-Identifier: Apache-2.0
//! Network namespaces of containers, and whose they are. The containers of a pod share one: its
//! data is the pod's. Who uses the host's has no data of his own, or it would be counted twice.

use std::collections::HashMap;
use std::sync::Arc;

use semconv::{AttributeDef, attribute};

use super::{Container, Entities};
use crate::hostfs::{Folder, HostFs};
use crate::signal::{EntityKind, Resource, UnixNanos};

/// What a pod's Resource takes from its containers', identity first.
const OF_POD: [&AttributeDef; 6] = [
    &attribute::K8S_POD_UID,
    &attribute::K8S_POD_NAME,
    &attribute::K8S_POD_HOSTNAME,
    &attribute::K8S_NAMESPACE_NAME,
    &attribute::K8S_POD_QOS_CLASS,
    &attribute::K8S_NODE_NAME,
];

/// One network namespace.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its inode.
    pub id: u64,
    /// The pod's Resource, or that of the oldest container in it.
    pub owner: Arc<Resource>,
    /// A process in it.
    pub process: u32,
    /// `/proc/<pid>/net` of that process.
    folder: Arc<Folder>,
    /// When the first of its containers started.
    pub started: UnixNanos,
}

impl Network {
    /// The text of `/proc/<pid>/net/<name>` in it, read into `buffer`; `None` where it has just gone.
    pub fn read<'a>(&self, name: &str, buffer: &'a mut Vec<u8>) -> Option<&'a str> {
        self.folder.read(name, buffer)
    }
}

/// The network namespaces of one collection, looked at when they are first asked for.
#[derive(Debug)]
pub struct Networks {
    fs: HostFs,
    looked: UnixNanos,
    found: Vec<Network>,
    /// A process of each container, with its network namespace.
    processes: HashMap<Arc<str>, Process>,
    pods: HashMap<Arc<str>, Arc<Resource>>,
}

#[derive(Debug, Clone)]
struct Process {
    id: u32,
    network: u64,
    folder: Arc<Folder>,
    seen: UnixNanos,
}

impl Networks {
    /// Nothing was looked at.
    pub fn new(fs: &HostFs) -> Self {
        Self {
            fs: fs.clone(),
            looked: 0,
            found: Vec::new(),
            processes: HashMap::new(),
            pods: HashMap::new(),
        }
    }

    /// The network namespaces that are not the host's, in the collection at `now`.
    pub fn list(&mut self, entities: &Entities, now: UnixNanos) -> &[Network] {
        if self.looked != now {
            self.looked = now;
            self.look(entities, now);
        }
        &self.found
    }

    fn look(&mut self, entities: &Entities, now: UnixNanos) {
        let mut shared: HashMap<u64, Vec<(Arc<Container>, Process)>> = HashMap::new();
        // Where we may not look, nobody's can be told from the host's.
        let host = host_network(&self.fs);
        for container in entities.containers_and_sandboxes() {
            let Some(process) = self.process(&container, entities, now) else { continue };
            if host.is_some_and(|host| host != process.network) {
                shared.entry(process.network).or_default().push((container, process));
            }
        }
        self.processes.retain(|_, process| process.seen == now);
        let networks = shared.into_iter().filter_map(|(id, users)| self.network(id, users));
        let networks: Vec<Network> = networks.collect();
        self.pods.retain(|_, pod| networks.iter().any(|n| Arc::ptr_eq(&n.owner, pod)));
        self.found = networks;
    }

    /// A process of the container. The last one will do as long as it is in the same namespace.
    fn process(
        &mut self,
        container: &Container,
        entities: &Entities,
        now: UnixNanos,
    ) -> Option<Process> {
        let known = self.processes.get(&container.id).cloned();
        let still =
            known.filter(|known| namespace(&self.fs, &known.id.to_string()) == Some(known.network));
        let process = still.map(|known| Process { seen: now, ..known }).or_else(|| {
            let id = entities.first_process_of(container)?;
            let network = namespace(&self.fs, &id.to_string())?;
            let folder = Folder::open(&self.fs.proc(&format!("{id}/net"))).ok()?;
            Some(Process { id, network, folder: Arc::new(folder), seen: now })
        })?;
        self.processes.insert(Arc::clone(&container.id), process.clone());
        Some(process)
    }

    fn network(&mut self, id: u64, mut users: Vec<(Arc<Container>, Process)>) -> Option<Network> {
        users.sort_by_key(|(container, _)| (container.started, Arc::clone(&container.id)));
        let (first, process) = users.first()?;
        let started = first.started;
        let wanted = users.iter().find(|(container, _)| container.is_collected());
        // Only what holds the namespace is left: the pod is still there.
        let sandbox = || users.iter().find(|(found, _)| found.is_sandbox && found.is_selected);
        let (named, _) = wanted.or_else(sandbox)?;
        let owner = match named.resource.get(&attribute::K8S_POD_UID) {
            Some(_) => self.pod(&named.resource),
            None => Arc::clone(&named.resource),
        };
        let (process, folder) = (process.id, Arc::clone(&process.folder));
        Some(Network { id, owner, process, folder, started })
    }

    /// The Resource of the pod of `container`; the one made before where nothing has changed.
    fn pod(&mut self, container: &Resource) -> Arc<Resource> {
        let own = OF_POD.iter().filter_map(|key| Some((*key, container.get(key)?.clone())));
        let is_containers = |key: &AttributeDef| {
            let of_container = |prefix: &str| key.key.starts_with(prefix);
            of_container("container.") || of_container("k8s.container.")
        };
        let others = container.attributes.iter().filter(|(key, _)| {
            let is_own = OF_POD.iter().any(|own| own.key == key.key);
            !is_own && !is_containers(key) && key.key != attribute::HUATUO_CONTAINER_TYPE.key
        });
        let pod = Resource::new(EntityKind::Pod, own.chain(others.cloned()).collect());
        let known = self.pods.get(&pod.identity).filter(|known| ***known == pod);
        let pod = known.cloned().unwrap_or_else(|| Arc::new(pod));
        self.pods.insert(Arc::clone(&pod.identity), Arc::clone(&pod));
        pod
    }
}

/// The inode of the host's network namespace; where we may not look, we are taken to be in it.
pub fn host_network(fs: &HostFs) -> Option<u64> {
    namespace(fs, "1").or_else(|| namespace(fs, "self"))
}

/// The inode of a process's network namespace (`/proc/<pid>/ns/net`, man namespaces(7)).
fn namespace(fs: &HostFs, process: &str) -> Option<u64> {
    let target = std::fs::read_link(fs.proc(&format!("{process}/ns/net"))).ok()?;
    let inode = target.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const UID: &str = "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff";
    const HOST: u64 = 4_026_531_840;

    struct Machine {
        root: tempfile::TempDir,
        entities: Entities,
        networks: Networks,
        now: UnixNanos,
    }

    impl Machine {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("proc/self")).unwrap();
            fs::create_dir(root.path().join("cgroup")).unwrap();
            let mounts = "cgroup2 /cgroup cgroup2 rw 0 0\n";
            fs::write(root.path().join("proc/self/mounts"), mounts).unwrap();
            let fs = HostFs::new(root.path());
            let entities = Entities::discover(&Config::default(), &fs);
            let machine = Self { root, entities, networks: Networks::new(&fs), now: 0 };
            machine.process(1, HOST);
            machine
        }

        fn process(&self, id: u32, network: u64) {
            let folder = self.root.path().join(format!("proc/{id}/ns"));
            fs::create_dir_all(&folder).unwrap();
            let _ = fs::remove_file(folder.join("net"));
            symlink(format!("net:[{network}]"), folder.join("net")).unwrap();
            let net = self.root.path().join(format!("proc/{id}/net"));
            fs::create_dir_all(&net).unwrap();
            fs::write(net.join("whose"), id.to_string()).unwrap();
        }

        /// A container, named by one letter, with one process.
        fn container(&self, place: &str, letter: char, process: u32) {
            let id = letter.to_string().repeat(64);
            let folder = self.root.path().join("cgroup").join(place).join(id);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cgroup.procs"), format!("{process}\n")).unwrap();
            self.entities.refresh();
            self.entities.look_up_names(false);
        }

        /// The process whose files are read.
        fn first_process(&mut self) -> Option<String> {
            let mut buffer = Vec::new();
            self.list()[0].read("whose", &mut buffer).map(str::to_owned)
        }

        fn list(&mut self) -> Vec<Network> {
            self.now += 1;
            self.networks.list(&self.entities, self.now).to_vec()
        }
    }

    fn pod() -> String {
        format!("kubepods/burstable/pod{UID}")
    }

    #[test]
    fn containers_of_a_pod_share_its_namespace_and_the_pod_owns_it() {
        let mut machine = Machine::new();
        for (letter, process) in [('a', 10), ('b', 11)] {
            machine.process(process, 77);
            machine.container(&pod(), letter, process);
        }
        let networks = machine.list();
        assert_eq!(networks.len(), 1);
        let owner = &networks[0].owner;
        assert_eq!((owner.kind, &*owner.identity), (EntityKind::Pod, UID));
        assert_eq!(owner.text(&attribute::K8S_POD_QOS_CLASS), "Burstable");
        assert_eq!(owner.text(&attribute::CONTAINER_ID), "");
        assert!(owner.get(&attribute::HOST_NAME).is_some());
        assert!(Arc::ptr_eq(owner, &machine.list()[0].owner), "made once");
    }

    #[test]
    fn who_uses_the_hosts_namespace_has_none() {
        let mut machine = Machine::new();
        machine.process(10, HOST);
        machine.container(&pod(), 'a', 10);
        assert!(machine.list().is_empty());
    }

    #[test]
    fn a_container_without_a_pod_owns_its_own_and_of_two_the_older_one_does() {
        let mut machine = Machine::new();
        for (letter, process) in [('a', 10), ('b', 11)] {
            machine.process(process, 77);
            machine.container("docker", letter, process);
        }
        machine.process(12, 88);
        machine.container("docker", 'c', 12);
        let mut owners: Vec<String> =
            machine.list().iter().map(|network| network.owner.identity[..1].to_owned()).collect();
        owners.sort();
        assert_eq!(owners, ["a", "c"]);
    }

    #[test]
    fn a_process_that_ended_is_replaced_and_an_ended_container_is_gone() {
        let mut machine = Machine::new();
        machine.process(10, 77);
        machine.container("docker", 'a', 10);
        assert_eq!(machine.first_process().as_deref(), Some("10"));
        fs::remove_dir_all(machine.root.path().join("proc/10")).unwrap();
        assert!(machine.list().is_empty());
        machine.process(11, 77);
        let folder = machine.root.path().join("cgroup/docker").join("a".repeat(64));
        fs::write(folder.join("cgroup.procs"), "11\n").unwrap();
        assert_eq!(machine.first_process().as_deref(), Some("11"));
        // The number is another container's now.
        machine.process(11, 99);
        fs::write(folder.join("cgroup.procs"), "").unwrap();
        assert!(machine.list().is_empty());
        fs::remove_dir_all(Path::new(&folder)).unwrap();
        machine.entities.refresh();
        machine.list();
        assert!(machine.networks.processes.is_empty());
    }
}
