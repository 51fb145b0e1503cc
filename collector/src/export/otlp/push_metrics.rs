// SPDX-License-Identifier: Apache-2.0
//! Pushes a snapshot at each interval. While the receiver is away requests wait in memory, up to a
//! bound; collecting goes on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::config::Compression;
use super::courier::{Courier, Delivery, FLUSH};
use super::encode::{self, MAX_REQUEST};
use super::payload::Payload;
use super::target::{Target, TargetError};
use crate::collect::TakeSnapshot;
use crate::signal::{EntityKind, EntityPoints, Point, Resource, Snapshot};
use crate::status::ExporterStatus;
use crate::sync::lock;

/// Bytes that wait, compressed: some days of one host, an hour of hundreds of containers.
const MAX_WAITING: usize = 16 << 20;
/// Stores of metrics refuse what is too old.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Pushes metrics.
pub struct MetricPush {
    courier: Courier,
    take: TakeSnapshot,
    interval: Duration,
    compression: Compression,
    backlog: Backlog,
    /// The last snapshot pushed. One that a scrape has taken meanwhile may come twice.
    pushed: Mutex<Option<Arc<Snapshot>>>,
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
        let (backlog, pushed) = (Backlog::default(), Mutex::default());
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
        let (last, compression) = (lock(&self.pushed).clone(), self.compression);
        let made = self.take.make(move |snapshot| {
            (Arc::clone(snapshot), payloads(snapshot, last.as_deref(), compression))
        });
        // Without a collection there is nothing to push, and nothing that has ended.
        let Ok((snapshot, payloads)) = made.await else { return };
        *lock(&self.pushed) = Some(snapshot);
        for payload in payloads {
            let dropped = self.backlog.push(payload, Instant::now());
            self.courier.dropped(dropped, "queue_full");
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

/// Requests with all of a snapshot, and with what has ended since the last that was pushed; none if
/// it is that one.
fn payloads(
    snapshot: &Snapshot,
    last: Option<&Snapshot>,
    compression: Compression,
) -> Vec<Payload> {
    if last.is_some_and(|last| last.time == snapshot.time) {
        return Vec::new();
    }
    let ended = last.map(|last| ended_since(last, snapshot)).unwrap_or_default();
    let requests = encode::metrics(snapshot, &ended, MAX_REQUEST).into_iter();
    // Compressing into memory cannot fail but for a bug of the library.
    requests.filter_map(|request| Payload::new(request, compression).ok()).collect()
}

/// Metrics of pods and containers that `last` has and `now` has not. A container that was killed
/// keeps its count of kills for a while when all else of it has ended.
fn ended_since(last: &Snapshot, now: &Snapshot) -> Vec<EntityPoints> {
    let present: HashMap<*const Resource, &[Point]> = now
        .entities
        .iter()
        .map(|entity| (Arc::as_ptr(&entity.resource), &*entity.points))
        .collect();
    let containers = last.entities.iter().filter(|entity| entity.resource.kind != EntityKind::Host);
    let ended = containers.filter_map(|EntityPoints { resource, points }| {
        let now = present.get(&Arc::as_ptr(resource)).copied().unwrap_or_default();
        // Nearly all have what they had.
        let is_same = |(a, b): (&Point, &Point)| std::ptr::eq(a.metric, b.metric);
        if points.len() == now.len() && points.iter().zip(now).all(is_same) {
            return None;
        }
        let names: HashSet<&str> = now.iter().map(|point| point.metric.name).collect();
        let gone = points.iter().filter(|point| !names.contains(point.metric.name));
        Some(EntityPoints { resource: Arc::clone(resource), points: gone.cloned().collect() })
    });
    ended.filter(|entity| !entity.points.is_empty()).collect()
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
        lock(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use semconv::{MetricDef, metric};

    use super::*;
    use crate::signal::PointValue;

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
    fn only_what_a_container_no_longer_has_has_ended() {
        let entity = |kind| Arc::new(Resource::new(kind, Vec::new()));
        let point = |metric| Point {
            metric,
            attributes: Box::default(),
            start: 1,
            value: PointValue::Int(1),
            page_only: false,
        };
        let of = |resource: &Arc<Resource>, metrics: &[&'static MetricDef]| EntityPoints {
            resource: Arc::clone(resource),
            points: metrics.iter().map(|metric| point(metric)).collect(),
        };
        let (kills, usage) =
            (&metric::LINUX_CGROUP_MEMORY_OOM_KILLS, &metric::CONTAINER_MEMORY_USAGE);
        let host = entity(EntityKind::Host);
        let [stays, killed, goes] = [(); 3].map(|()| entity(EntityKind::Container));
        let last = [
            of(&host, &[&metric::LINUX_MEMORY_OOM_KILLS]),
            of(&stays, &[usage]),
            of(&killed, &[usage, kills]),
            of(&goes, &[usage]),
        ];
        let now = vec![of(&stays, &[usage]), of(&killed, &[kills])];
        let last = Snapshot::whole(1, last.into());
        let ended = ended_since(&last, &Snapshot::whole(2, now));
        let found: Vec<_> = ended.iter().map(|entity| Arc::as_ptr(&entity.resource)).collect();
        assert_eq!(found, [Arc::as_ptr(&killed), Arc::as_ptr(&goes)]);
        assert_eq!((ended[0].points.len(), ended[0].points[0].metric.name), (1, usage.name));
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
