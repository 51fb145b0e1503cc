// SPDX-License-Identifier: Apache-2.0
//! What has ended stays known for a while, for events that come late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CgroupIndex;

/// How long, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// How long an ended cgroup is known.
    pub time: Duration,
    /// How many of them are.
    pub number: usize,
}

/// cgroups that ended, oldest first.
#[derive(Debug)]
pub(super) struct Ended {
    keep: Keep,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    cgroup: u64,
    /// The container that ended with it.
    container: Option<Arc<str>>,
    at: Instant,
}

impl Ended {
    pub fn new(keep: Keep) -> Self {
        Self { keep, waiting: VecDeque::new() }
    }

    pub fn push(&mut self, cgroup: u64, container: Option<Arc<str>>, at: Instant) {
        self.waiting.push_back(Waiting { cgroup, container, at });
    }

    /// The next one whose time has come.
    fn pop(&mut self, now: Instant) -> Option<Waiting> {
        let oldest = self.waiting.front()?.at;
        let is_due =
            now.duration_since(oldest) >= self.keep.time || self.waiting.len() > self.keep.number;
        is_due.then(|| self.waiting.pop_front())?
    }
}

impl CgroupIndex {
    /// Forgets what ended long ago, unless it has come back since.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some(Waiting { cgroup, container, at }) = self.ended.pop(now) {
            if self.cgroups.get(&cgroup).is_some_and(|cgroup| cgroup.ended == Some(at)) {
                self.cgroups.remove(&cgroup);
            }
            let Some(container) = container else { continue };
            if self.containers.get(&container).is_some_and(|known| known.ended == Some(at)) {
                self.containers.remove(&container);
            }
        }
    }
}
