// SPDX-License-Identifier: Apache-2.0
//! Pushes a snapshot at each interval. While the receiver is away requests wait in memory, up to a
//! bound; collecting goes on.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::config::Compression;
use super::courier::{Courier, Delivery};
use super::encode::{self, MAX_REQUEST};
use super::payload::Payload;
use super::target::{Target, TargetError};
use crate::collect::TakeSnapshot;
use crate::status::ExporterStatus;

/// Bytes that wait, compressed: some days of one host, an hour of hundreds of containers.
const MAX_WAITING: usize = 16 << 20;
/// Stores of metrics refuse what is too old.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// How long the last snapshot may take to leave.
const FLUSH: Duration = Duration::from_secs(3);

/// Pushes metrics.
pub struct MetricPush {
    courier: Courier,
    take: TakeSnapshot,
    interval: Duration,
    compression: Compression,
    backlog: Backlog,
    /// Time of the last snapshot pushed: one that a scrape has taken meanwhile may come twice.
    pushed: AtomicU64,
}

impl MetricPush {
    /// Pushes what `take` gives, every `interval`.
    pub fn new(
        target: Target,
        take: TakeSnapshot,
        interval: Duration,
        status: ExporterStatus,
    ) -> Result<Self, TargetError> {
        let compression = target.compression;
        let courier = Courier::new(target, status)?;
        let (backlog, pushed) = (Backlog::default(), AtomicU64::new(0));
        Ok(Self { courier, take, interval, compression, backlog, pushed })
    }

    /// Pushes until `stop`, then once more.
    pub async fn run(self, stop: CancellationToken) {
        let work = async { tokio::join!(self.produce(), self.consume()) };
        stop.run_until_cancelled(pin!(work)).await;
        if tokio::time::timeout(FLUSH, self.flush()).await.is_err() {
            tracing::warn!("the last metrics could not be pushed in time");
        }
        self.courier.dropped(self.backlog.items(), "shutdown");
    }

    async fn produce(&self) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.enqueue().await;
        }
    }

    async fn enqueue(&self) {
        let snapshot = (self.take)().await;
        if self.pushed.swap(snapshot.time, Ordering::Relaxed) == snapshot.time {
            return;
        }
        for request in encode::metrics(&snapshot, MAX_REQUEST) {
            // Compressing into memory cannot fail but for a bug of the library.
            if let Ok(payload) = Payload::new(request, self.compression) {
                let dropped = self.backlog.push(payload, Instant::now());
                self.courier.dropped(dropped, "queue_full");
            }
        }
    }

    async fn consume(&self) {
        loop {
            let payload = self.backlog.first().await;
            self.courier.deliver(&payload).await;
            self.backlog.pop(&payload);
        }
    }

    async fn flush(&self) {
        self.enqueue().await;
        while let Some(payload) = self.backlog.peek() {
            if self.courier.deliver_once(&payload).await == Delivery::Failed {
                return;
            }
            self.backlog.pop(&payload);
        }
    }
}

/// Requests that wait, oldest first.
#[derive(Default)]
struct Backlog {
    waiting: Mutex<VecDeque<Waiting>>,
    arrived: Notify,
}

struct Waiting {
    payload: Payload,
    since: Instant,
}

impl Backlog {
    /// Adds a request; gives up the oldest ones over the bound and tells how many items that were.
    fn push(&self, payload: Payload, now: Instant) -> u64 {
        let mut waiting = self.lock();
        waiting.push_back(Waiting { payload, since: now });
        let mut dropped = 0;
        let mut bytes: usize = waiting.iter().map(|waiting| waiting.payload.body.len()).sum();
        while waiting.len() > 1
            && (bytes > MAX_WAITING || now.duration_since(waiting[0].since) > MAX_AGE)
        {
            if let Some(oldest) = waiting.pop_front() {
                bytes -= oldest.payload.body.len();
                dropped += oldest.payload.items;
            }
        }
        self.arrived.notify_one();
        dropped
    }

    fn peek(&self) -> Option<Payload> {
        self.lock().front().map(|waiting| waiting.payload.clone())
    }

    async fn first(&self) -> Payload {
        loop {
            if let Some(payload) = self.peek() {
                return payload;
            }
            self.arrived.notified().await;
        }
    }

    /// Removes the oldest request, if that is still `payload`.
    fn pop(&self, payload: &Payload) {
        let mut waiting = self.lock();
        let is_first = |first: &Waiting| first.payload.body.as_ptr() == payload.body.as_ptr();
        if waiting.front().is_some_and(is_first) {
            waiting.pop_front();
        }
    }

    fn items(&self) -> u64 {
        self.lock().iter().map(|waiting| waiting.payload.items).sum()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(length: usize, items: u64) -> Payload {
        Payload { body: vec![0; length].into(), items, compression: Compression::None }
    }

    #[test]
    fn over_the_bound_the_oldest_requests_go_and_are_counted() {
        let backlog = Backlog::default();
        let now = Instant::now();
        let third = MAX_WAITING / 3;
        for items in 1..=3 {
            assert_eq!(backlog.push(payload(third, items), now), 0);
        }
        assert_eq!(backlog.push(payload(third, 4), now), 1);
        assert_eq!(backlog.peek().unwrap().items, 2);
        assert_eq!(backlog.items(), 2 + 3 + 4);
    }

    #[test]
    fn old_requests_go_when_a_new_one_comes() {
        let backlog = Backlog::default();
        let now = Instant::now();
        backlog.push(payload(10, 1), now);
        assert_eq!(backlog.push(payload(10, 2), now + MAX_AGE + Duration::from_secs(1)), 1);
        assert_eq!(backlog.peek().unwrap().items, 2);
    }

    #[test]
    fn a_request_that_was_given_up_while_it_was_sent_takes_no_other_with_it() {
        let backlog = Backlog::default();
        let now = Instant::now();
        backlog.push(payload(MAX_WAITING, 1), now);
        let sending = backlog.peek().unwrap();
        assert_eq!(backlog.push(payload(10, 2), now), 1);
        backlog.pop(&sending);
        assert_eq!(backlog.peek().unwrap().items, 2);
    }
}
