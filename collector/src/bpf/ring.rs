// SPDX-License-Identifier: Apache-2.0
//! The ring buffers of all probes, read by one thread that never waits for anyone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread;

use aya::maps::{Map, MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A ring buffer that is not read yet.
pub struct RingSource(RingBuf<MapData>);

impl RingSource {
    pub(super) fn new(map: Map) -> Option<Self> {
        RingBuf::try_from(map).ok().map(Self)
    }
}

/// Bytes of one record, as the kernel wrote them.
#[derive(Debug)]
pub struct RawRecord {
    /// Which ring it came from, as given to [`RingReader::add`].
    pub source: usize,
    /// The record.
    pub bytes: Vec<u8>,
}

/// The thread that empties the rings. When its receiver is behind, records are counted and given
/// up here: the kernel's rings stay empty for the next.
pub struct RingReader {
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
    rings: UnboundedSender<Reading>,
}

/// A ring that is being read; reading ends when this is dropped.
pub struct RingGuard {
    _stop: DropGuard,
    dropped: Arc<AtomicU64>,
}

impl RingGuard {
    /// Records given up because the receiver was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Reading {
    source: usize,
    ring: RingSource,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl RingReader {
    /// Starts the thread. Records go to `out`.
    pub fn start(out: SyncSender<RawRecord>) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (rings, mut added) = unbounded_channel::<Reading>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("ring-reader".to_owned()).spawn(move || {
            let local = LocalSet::new();
            let reader = stopped.run_until_cancelled(async {
                while let Some(reading) = added.recv().await {
                    let out = out.clone();
                    spawn_local(async move {
                        let stop = reading.stop.clone();
                        stop.run_until_cancelled(drain(reading, out)).await
                    });
                }
            });
            local.block_on(&runtime, reader);
        })?;
        Ok(Self { stop, thread: Some(thread), rings })
    }

    /// Reads `ring` too; its records carry `source`.
    pub fn add(&self, source: usize, ring: RingSource) -> RingGuard {
        let stop = CancellationToken::new();
        let dropped = Arc::new(AtomicU64::new(0));
        let guard = RingGuard { _stop: stop.clone().drop_guard(), dropped: Arc::clone(&dropped) };
        if self.rings.send(Reading { source, ring, dropped, stop }).is_err() {
            tracing::error!("the ring reader thread is gone; events are lost");
        }
        guard
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ring reader thread panicked");
        }
    }
}

async fn drain(reading: Reading, out: SyncSender<RawRecord>) {
    let Reading { source, ring, dropped, .. } = reading;
    let mut ring = match register(ring) {
        Ok(ring) => ring,
        Err(error) => return tracing::error!(%error, "cannot wait for a BPF ring buffer"),
    };
    loop {
        let mut ready = match ring.readable_mut().await {
            Ok(ready) => ready,
            Err(error) => return tracing::error!(%error, "waiting for a BPF ring buffer failed"),
        };
        while let Some(item) = ready.get_inner_mut().next() {
            let record = RawRecord { source, bytes: item.to_vec() };
            match out.try_send(record) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
        ready.clear_ready();
    }
}

fn register(ring: RingSource) -> io::Result<AsyncFd<RingBuf<MapData>>> {
    #[expect(unsafe_code, reason = "tokio cannot see that the descriptor stays open")]
    // SAFETY: `RingBuf` owns its map's descriptor and never replaces it; the `AsyncFd` owns both.
    let registered = unsafe { AsyncFd::register_with_interest(ring.0, Interest::READABLE) };
    registered.map_err(io::Error::from)
}
