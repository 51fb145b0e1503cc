// SPDX-License-Identifier: Apache-2.0
//! Whom an event is about, as the kernel's record tells it: the process and its cgroup may be gone
//! when we read it.

use std::sync::Arc;

use ebpf::event_task::event_task;
use semconv::attribute;

use crate::entity::{Container, Entities};
use crate::probes::kernel_text;
use crate::signal::{Attribute, Resource, Value};

/// A task, and the container that it runs in.
pub struct Whom {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Name of the thread.
    pub comm: Arc<str>,
    /// Inode of its cgroup.
    pub cgroup_id: u64,
    /// Its container; `None` for tasks of the host.
    pub container: Option<Arc<Container>>,
    /// Its container, or else the host.
    pub resource: Arc<Resource>,
}

impl Whom {
    /// Whom a record names.
    pub fn of(task: &event_task, entities: &Entities) -> Self {
        let cgroup_name = kernel_text(&task.cgroup_name);
        let container = entities.container_of_event(task.cgroup_id, &cgroup_name);
        let resource = match &container {
            Some(container) => Arc::clone(&container.resource),
            None => Arc::clone(entities.host()),
        };
        Self {
            pid: task.pid,
            tid: task.tid,
            comm: kernel_text(&task.comm).into(),
            cgroup_id: task.cgroup_id,
            container,
            resource,
        }
    }

    /// The task on the plain keys.
    pub fn attributes(&self) -> Vec<Attribute> {
        vec![
            (&attribute::PROCESS_PID, self.pid.into()),
            (&attribute::THREAD_ID, self.tid.into()),
            (&attribute::THREAD_NAME, Value::Str(Arc::clone(&self.comm))),
        ]
    }

    /// For people: `java (pid 42) of container 0123456789ab`.
    pub fn shown(&self) -> String {
        let Self { comm, pid, .. } = self;
        match &self.container {
            Some(container) => format!("{comm} (pid {pid}) of container {}", short(&container.id)),
            None => format!("{comm} (pid {pid})"),
        }
    }
}

/// As the command line tools of container runtimes show it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
