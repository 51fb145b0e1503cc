// SPDX-License-Identifier: Apache-2.0
//! Whose a network namespace is, asked one by one as events come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Entities, Networks, host_network};
use crate::hostfs::HostFs;
use crate::kernel::unix_now;
use crate::signal::Resource;

/// How long an answer holds: the number of a namespace that is gone is given out again.
const STALE: Duration = Duration::from_secs(10);
/// Between two looks for a namespace that nobody has.
const AGAIN: Duration = Duration::from_secs(1);

/// Owners of network namespaces, looked up when an event asks for one, once a second at most.
#[derive(Debug)]
pub struct NetworkOwners {
    networks: Networks,
    host: Option<u64>,
    owners: HashMap<u64, Arc<Resource>>,
    looked: Option<Instant>,
}

impl NetworkOwners {
    /// Nothing was looked at.
    pub fn new(fs: &HostFs) -> Self {
        Self {
            networks: Networks::new(fs),
            host: host_network(fs),
            owners: HashMap::new(),
            looked: None,
        }
    }

    /// The pod or container that has the namespace with this inode; `None` for the host's, and
    /// where nobody has it.
    pub fn owner(&mut self, inode: u64, entities: &Entities) -> Option<Arc<Resource>> {
        if self.host == Some(inode) {
            return None;
        }
        let holds = if self.owners.contains_key(&inode) { STALE } else { AGAIN };
        if self.looked.is_none_or(|looked| looked.elapsed() > holds) {
            let found = self.networks.list(entities, unix_now()).iter();
            self.owners = found.map(|network| (network.id, Arc::clone(&network.owner))).collect();
            self.looked = Some(Instant::now());
        }
        self.owners.get(&inode).cloned()
    }
}
