// SPDX-License-Identifier: Apache-2.0
//! Takes snapshots: asks each probe once, and shares the answer among all who want it.

mod collector;
mod costs;
mod starter;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::signal::{Audience, Snapshot};
use crate::sync::lock;

pub use collector::Collector;
pub use costs::{Costs, Lost, ProgramCost};
pub use starter::Starter;

/// Where exporters get snapshots from. Clones share the last one.
#[derive(Clone)]
pub struct Snapshots {
    collector: Arc<Mutex<Collector>>,
    last: Arc<tokio::sync::Mutex<Option<Taken>>>,
}

struct Taken {
    at: Instant,
    audience: Audience,
    snapshot: Arc<Snapshot>,
}

impl Taken {
    fn serves(&self, max_age: Duration, audience: Audience) -> bool {
        let is_enough = self.snapshot.is_whole || self.audience == audience;
        is_enough && self.at.elapsed() <= max_age
    }
}

impl Snapshots {
    /// Shares what `collector` takes.
    pub fn new(collector: Collector) -> Self {
        Self {
            collector: Arc::new(Mutex::new(collector)),
            last: Arc::new(tokio::sync::Mutex::new(None)),
        }
    }

    /// Takes snapshots not older than `max_age` for `audience`.
    pub fn take(&self, max_age: Duration, audience: Audience) -> TakeSnapshot {
        let collector = Arc::clone(&self.collector);
        let collect = Arc::new(move |audience| lock(&collector).collect(audience));
        TakeSnapshot { collect, last: Arc::clone(&self.last), max_age, audience }
    }

    /// Asks the collector itself, e.g. for what its programs cost.
    pub fn with_collector<T>(&self, ask: impl FnOnce(&mut Collector) -> T) -> T {
        ask(&mut lock(&self.collector))
    }
}

/// Takes snapshots: what exporters are given, so that they need no collector.
pub struct TakeSnapshot {
    collect: Arc<dyn Fn(Audience) -> Snapshot + Send + Sync>,
    last: Arc<tokio::sync::Mutex<Option<Taken>>>,
    max_age: Duration,
    audience: Audience,
}

/// The collection ended in a panic that is not one of a probe.
#[derive(Debug, Error)]
#[error("the collection failed as a whole; the log has why")]
pub struct CollectionFailed;

impl TakeSnapshot {
    /// Takes what `collect` gives, each time anew.
    pub fn from_fn(collect: impl Fn() -> Snapshot + Send + Sync + 'static) -> Self {
        let (collect, last) = (Arc::new(move |_| collect()), Arc::default());
        Self { collect, last, max_age: Duration::ZERO, audience: Audience::Push }
    }

    /// What `make` makes of a snapshot that is fresh enough; it is taken now where the last one is
    /// older, or lacks what the audience wants. Those who ask meanwhile wait for the same one.
    ///
    /// `make` runs on the thread that collects: what it looks at is still near, and nothing else
    /// waits for it.
    pub async fn make<T: Send + 'static>(
        &self,
        make: impl FnOnce(&Arc<Snapshot>) -> T + Send + 'static,
    ) -> Result<T, CollectionFailed> {
        let mut last = self.last.lock().await;
        let (max_age, audience) = (self.max_age, self.audience);
        let (collect, before) = (Arc::clone(&self.collect), last.take());
        let work = tokio::task::spawn_blocking(move || {
            let taken = before.filter(|taken| taken.serves(max_age, audience));
            let taken = taken.unwrap_or_else(|| {
                let snapshot = Arc::new(collect(audience));
                Taken { at: Instant::now(), audience, snapshot }
            });
            let made = make(&taken.snapshot);
            (taken, made)
        });
        let (taken, made) = work.await.map_err(|error| {
            tracing::error!(%error, "the collection failed as a whole; nothing is exported");
            CollectionFailed
        })?;
        *last = Some(taken);
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_snapshot_serves_until_it_is_too_old() {
        let collections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&collections);
        let collect = move || Snapshot::whole(counted.fetch_add(1, Ordering::Relaxed), Vec::new());
        let hour = Duration::from_secs(3600);
        let take = TakeSnapshot { max_age: hour, ..TakeSnapshot::from_fn(collect) };
        for _ in 0..2 {
            assert_eq!(take.make(|snapshot| snapshot.time).await.unwrap(), 0);
        }
        let take = TakeSnapshot { max_age: Duration::ZERO, ..take };
        assert_eq!(take.make(|snapshot| snapshot.time).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_collection_that_fails_is_told_and_the_next_works() {
        let failed = AtomicU64::new(0);
        let take = TakeSnapshot::from_fn(move || {
            assert!(failed.fetch_add(1, Ordering::Relaxed) > 0, "fails once");
            Snapshot::whole(7, Vec::new())
        });
        assert!(take.make(|_| ()).await.is_err());
        assert_eq!(take.make(|snapshot| snapshot.time).await.unwrap(), 7);
    }
}
