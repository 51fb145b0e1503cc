// SPDX-License-Identifier: Apache-2.0
//! Whose is it? The host, and the containers that its cgroups tell.

mod cgroup;
mod container;
mod host;
mod runtime;
mod tally;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use semconv::attribute;

use crate::config::Config;
use crate::hostfs::HostFs;
use crate::kernel::unix_now;
use crate::signal::{Attribute, EntityKind, Resource, UnixNanos, Value};

pub use cgroup::CgroupIndex;
pub use container::{ContainerName, container_at};
pub use tally::{Share, Tally};

/// A container that was seen.
#[derive(Debug)]
pub struct Container {
    /// Its id, 64 hex digits.
    pub id: Arc<str>,
    /// Its OpenTelemetry Resource.
    pub resource: Arc<Resource>,
    /// Path of its cgroup below the root of its hierarchy.
    pub path: Arc<str>,
    /// Since when its counters count: when its first process started, or when we saw it first.
    pub started: UnixNanos,
}

/// Everything that points and events are attributed to.
pub struct Entities {
    fs: HostFs,
    host: Arc<Resource>,
    /// What every Resource carries: host identity, region, the user's attributes, the distro.
    shared: Vec<Attribute>,
    index: Mutex<CgroupIndex>,
}

impl Entities {
    /// Describes this host and looks at its cgroups.
    pub fn discover(config: &Config, fs: &HostFs) -> Self {
        let (host, shared) = host::describe(config, fs);
        let index = CgroupIndex::new(fs.controller("memory"), fs);
        let (fs, host) = (fs.clone(), Arc::new(host));
        let entities = Self { fs, host, shared, index: Mutex::new(index) };
        entities.refresh();
        entities
    }

    /// The host's Resource.
    pub fn host(&self) -> &Arc<Resource> {
        &self.host
    }

    /// What every Resource carries.
    pub fn shared(&self) -> &[Attribute] {
        &self.shared
    }

    /// Looks at the cgroups anew. Once per collection.
    pub fn refresh(&self) {
        self.index().refresh(Instant::now(), &|name| self.container_resource(name));
    }

    /// The container that `cgroup_id` belongs to, running or ended some minutes ago.
    pub fn container(&self, cgroup_id: u64) -> Option<Arc<Container>> {
        self.index().container(cgroup_id)
    }

    /// The container that `cgroup_id` belongs to, if it runs.
    pub fn running_container(&self, cgroup_id: u64) -> Option<Arc<Container>> {
        self.index().running_container(cgroup_id)
    }

    /// All containers that run.
    pub fn running_containers(&self) -> Vec<Arc<Container>> {
        self.index().running_containers()
    }

    /// The cgroup is there and belongs to a container.
    pub fn is_running(&self, cgroup_id: u64) -> bool {
        self.running_container(cgroup_id).is_some()
    }

    /// The container of an event: by its cgroup's id, or, where the cgroup was never seen, by the
    /// last part of its path, which the kernel recorded.
    pub fn container_of_event(&self, cgroup_id: u64, cgroup_name: &str) -> Option<Arc<Container>> {
        if let Some(container) = self.look_up(cgroup_id, |index| index.container(cgroup_id)) {
            return Some(container);
        }
        if self.remembers_cgroup(cgroup_id) {
            return None;
        }
        let name = container_at(Path::new(cgroup_name))?;
        let resource = self.container_resource(&name)?;
        let container = Arc::new(Container {
            id: name.id.into(),
            resource: Arc::new(resource),
            path: cgroup_name.into(),
            started: unix_now(),
        });
        let remembered = Arc::clone(&container);
        self.index().remember_ended(cgroup_id, cgroup_name, remembered, Instant::now());
        Some(container)
    }

    /// Path of the cgroup below its hierarchy's root, `/` for the root itself.
    pub fn cgroup_path(&self, cgroup_id: u64) -> Option<Arc<str>> {
        self.look_up(cgroup_id, |index| index.path(cgroup_id))
    }

    /// The cgroup is there, or ended a short while ago.
    pub fn remembers_cgroup(&self, cgroup_id: u64) -> bool {
        self.index().contains(cgroup_id)
    }

    /// Asks the index; where the id is new to it, looks at the cgroups once more.
    fn look_up<T>(&self, id: u64, ask: impl Fn(&CgroupIndex) -> Option<T>) -> Option<T> {
        let mut index = self.index();
        if !index.contains(id) {
            index.refresh_for(id, Instant::now(), &|name| self.container_resource(name));
        }
        ask(&index)
    }

    /// What path and runtime tell; `None` for what only holds the namespaces of a pod.
    fn container_resource(&self, name: &ContainerName<'_>) -> Option<Resource> {
        let facts = runtime::look_up(&self.fs, name.id).unwrap_or_default();
        if facts.is_sandbox {
            return None;
        }
        let pod = name.pod.as_ref();
        let texts = [
            (&attribute::CONTAINER_ID, Some(name.id.to_owned())),
            (&attribute::CONTAINER_NAME, facts.name),
            (&attribute::CONTAINER_IMAGE_NAME, facts.image),
            (&attribute::CONTAINER_RUNTIME_NAME, name.runtime.map(str::to_owned)),
            (&attribute::K8S_CONTAINER_NAME, facts.container),
            (&attribute::K8S_POD_NAME, facts.pod.clone()),
            (&attribute::K8S_POD_UID, pod.map(|pod| pod.uid.clone())),
            // Pods see their name as their host name, unless they ask for another.
            (&attribute::K8S_POD_HOSTNAME, facts.pod),
            (&attribute::K8S_NAMESPACE_NAME, facts.namespace),
            (&attribute::K8S_POD_QOS_CLASS, pod.map(|pod| pod.qos.to_owned())),
            (&attribute::HUATUO_CONTAINER_TYPE, Some("normal".to_owned())),
        ];
        let known = texts.into_iter().filter_map(|(key, text)| Some((key, Value::from(text?))));
        let attributes = known.chain(self.shared.iter().cloned()).collect();
        Some(Resource { kind: EntityKind::Container, attributes })
    }

    fn index(&self) -> MutexGuard<'_, CgroupIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
