// SPDX-License-Identifier: Apache-2.0
//! Where events are committed before anyone is told of them. Exporters follow it, each with its
//! own cursor, so that one may be away without holding up another.

mod config;
mod memory;

use std::sync::Arc;

use tokio::sync::watch;

use crate::signal::Event;

pub use config::JournalConfig;
pub use memory::MemoryJournal;

/// Position in the journal: the number of events committed before.
pub type Sequence = u64;

/// A run of events read from the journal.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events in order.
    pub events: Vec<Arc<Event>>,
    /// Where the next read goes on.
    pub next: Sequence,
    /// Events that the journal had to give up before this follower read them.
    pub lost: u64,
}

/// An ordered, bounded store of events.
pub trait Journal: Send + Sync {
    /// Commits an event. Never waits for a follower.
    fn append(&self, event: Arc<Event>);

    /// Up to `max` events from `from` on.
    fn read(&self, from: Sequence, max: usize) -> Batch;

    /// Changes to the sequence that the next event will get.
    fn head(&self) -> watch::Receiver<Sequence>;
}

/// One reader's place in the journal.
pub struct Follower {
    journal: Arc<dyn Journal>,
    cursor: Sequence,
    head: watch::Receiver<Sequence>,
}

impl Follower {
    /// Follows everything that the journal holds and will hold.
    pub fn from_start(journal: Arc<dyn Journal>) -> Self {
        let head = journal.head();
        Self { journal, cursor: 0, head }
    }

    /// Follows what is committed from now on.
    pub fn from_now(journal: Arc<dyn Journal>) -> Self {
        let head = journal.head();
        let cursor = *head.borrow();
        Self { journal, cursor, head }
    }

    /// Waits for events after the cursor and reads up to `max`. Returns the same events again
    /// until [`Follower::commit`]. `None` when the journal is gone. Safe to cancel.
    pub async fn next(&mut self, max: usize) -> Option<Batch> {
        self.head.wait_for(|head| *head > self.cursor).await.ok()?;
        Some(self.journal.read(self.cursor, max))
    }

    /// Reads what is there now, without waiting; for the last flush.
    pub fn drain(&self, max: usize) -> Batch {
        self.journal.read(self.cursor, max)
    }

    /// Everything before `next` is dealt with.
    pub fn commit(&mut self, next: Sequence) {
        self.cursor = self.cursor.max(next);
    }
}
