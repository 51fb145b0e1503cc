// SPDX-License-Identifier: Apache-2.0
//! Takes snapshots: asks each probe once, and shares the answer among all who want it.

mod collector;
mod costs;
mod starter;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::signal::{Audience, Snapshot};
use crate::sync::lock;

pub use collector::Collector;
pub use costs::{Costs, Lost, ProgramCost};
pub use starter::Starter;

/// Takes a snapshot. What exporters are given, so that they need no collector.
pub type TakeSnapshot = Box<dyn Fn() -> BoxFuture<'static, Arc<Snapshot>> + Send + Sync>;

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

impl Snapshots {
    /// Shares what `collector` takes.
    pub fn new(collector: Collector) -> Self {
        Self {
            collector: Arc::new(Mutex::new(collector)),
            last: Arc::new(tokio::sync::Mutex::new(None)),
        }
    }

    /// A snapshot not older than `max_age`; taken now where the last one is older, or lacks what
    /// `audience` wants. Those who ask meanwhile wait for the same one.
    pub async fn within(&self, max_age: Duration, audience: Audience) -> Arc<Snapshot> {
        let mut last = self.last.lock().await;
        let serves = |taken: &&Taken| {
            let is_enough = taken.snapshot.is_whole || taken.audience == audience;
            is_enough && taken.at.elapsed() <= max_age
        };
        if let Some(taken) = last.as_ref().filter(serves) {
            return Arc::clone(&taken.snapshot);
        }
        let collector = Arc::clone(&self.collector);
        let taken = tokio::task::spawn_blocking(move || lock(&collector).collect(audience));
        match taken.await {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                *last =
                    Some(Taken { at: Instant::now(), audience, snapshot: Arc::clone(&snapshot) });
                snapshot
            }
            Err(error) => {
                tracing::error!(%error, "the collection failed as a whole; nothing is exported");
                Arc::new(Snapshot::whole(crate::kernel::unix_now(), Vec::new()))
            }
        }
    }

    /// Takes snapshots not older than `max_age` for `audience`.
    pub fn take(&self, max_age: Duration, audience: Audience) -> TakeSnapshot {
        let snapshots = self.clone();
        Box::new(move || {
            let snapshots = snapshots.clone();
            Box::pin(async move { snapshots.within(max_age, audience).await })
        })
    }

    /// Asks the collector itself, e.g. for what its programs cost.
    pub fn with_collector<T>(&self, ask: impl FnOnce(&mut Collector) -> T) -> T {
        ask(&mut lock(&self.collector))
    }
}
