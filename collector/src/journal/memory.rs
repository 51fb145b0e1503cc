// SPDX-License-Identifier: Apache-2.0
//! The first journal: a bounded ring in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::{Batch, Journal, Sequence};
use crate::signal::Event;
use crate::sync::lock;

/// Keeps the last `capacity` events; older ones are given up, and each follower that had not read
/// them learns how many it lost.
pub struct MemoryJournal {
    ring: Mutex<Ring>,
    head: watch::Sender<Sequence>,
    capacity: usize,
}

struct Ring {
    events: VecDeque<Arc<Event>>,
    first: Sequence,
}

impl MemoryJournal {
    /// A journal that holds up to `capacity` events (at least one).
    pub fn new(capacity: usize) -> Self {
        let ring = Ring { events: VecDeque::new(), first: 0 };
        Self { ring: Mutex::new(ring), head: watch::Sender::new(0), capacity: capacity.max(1) }
    }
}

impl Journal for MemoryJournal {
    fn append(&self, event: Arc<Event>) {
        let mut ring = lock(&self.ring);
        if ring.events.len() == self.capacity {
            ring.events.pop_front();
            ring.first += 1;
        }
        ring.events.push_back(event);
        let head = ring.first + ring.events.len() as Sequence;
        // Under the lock, so that heads are announced in order.
        self.head.send_replace(head);
    }

    fn read(&self, from: Sequence, max: usize) -> Batch {
        let ring = lock(&self.ring);
        let lost = ring.first.saturating_sub(from);
        let skip = from.saturating_sub(ring.first);
        let start = usize::try_from(skip).unwrap_or(usize::MAX);
        let events: Vec<_> = ring.events.iter().skip(start).take(max).cloned().collect();
        let next = from.max(ring.first) + events.len() as Sequence;
        Batch { events, next, lost }
    }

    fn head(&self) -> watch::Receiver<Sequence> {
        self.head.subscribe()
    }
}
