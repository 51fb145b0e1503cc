// SPDX-License-Identifier: Apache-2.0
//! The ring buffers of all probes, read by one thread that never waits for anyone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread;

use aya::maps::{Map, MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

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
    /// Which ring it came from, as given to [`RingReader::start`].
    pub source: usize,
    /// The record.
    pub bytes: Vec<u8>,
}

/// The thread that empties the rings. When its receiver is behind, records are counted and given
/// up here: the kernel's rings stay empty for the next.
pub struct RingReader {
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
    dropped: Arc<AtomicU64>,
}

impl RingReader {
    /// Starts the thread. Records go to `out`.
    pub fn start(rings: Vec<(usize, RingSource)>, out: SyncSender<RawRecord>) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let dropped = Arc::new(AtomicU64::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (stopped, counter) = (stop.clone(), Arc::clone(&dropped));
        let thread = thread::Builder::new().name("ring-reader".to_owned()).spawn(move || {
            let local = LocalSet::new();
            for (source, ring) in rings {
                local.spawn_local(drain(source, ring, out.clone(), Arc::clone(&counter)));
            }
            local.block_on(&runtime, stopped.cancelled());
        })?;
        Ok(Self { stop, thread: Some(thread), dropped })
    }

    /// Records given up because the receiver was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
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

async fn drain(
    source: usize,
    ring: RingSource,
    out: SyncSender<RawRecord>,
    dropped: Arc<AtomicU64>,
) {
    let mut ring = match AsyncFd::new(ring.0) {
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
