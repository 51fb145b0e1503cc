// SPDX-License-Identifier: Apache-2.0
//! From records of the kernel to events in the journal. One thread decodes; nothing behind the
//! journal can hold it up.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;

use crate::bpf::RawRecord;
use crate::entity::Entities;
use crate::journal::Journal;
use crate::probes::{PROBES, ProbeDef};
use crate::telemetry::EventMeter;

/// Records that wait between the ring reader and the decoder.
pub const QUEUE: usize = 4096;

/// The thread that decodes. It ends when the ring reader is gone and its records are dealt with.
pub struct Decoder {
    thread: thread::JoinHandle<()>,
    rejected: Rejected,
}

/// Records per probe that were not what they should be.
#[derive(Debug, Clone)]
pub struct Rejected(Arc<[AtomicU64]>);

impl Rejected {
    /// Each probe with events and its count.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = PROBES.iter().zip(self.0.iter()).filter(|(def, _)| def.decode.is_some());
        counted.map(|(def, count)| (def.name, count.load(Ordering::Relaxed)))
    }

    fn count(&self, source: usize) {
        if let Some(count) = self.0.get(source) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Decoder {
    /// Starts the thread.
    pub fn start(
        records: Receiver<RawRecord>,
        entities: Arc<Entities>,
        journal: Arc<dyn Journal>,
    ) -> io::Result<Self> {
        let rejected = Rejected(PROBES.iter().map(|_| AtomicU64::new(0)).collect());
        let counts = rejected.clone();
        let meter = EventMeter::new();
        let thread = thread::Builder::new().name("events".to_owned()).spawn(move || {
            for record in records {
                commit(&record, &entities, &*journal, &meter, &counts);
            }
        })?;
        Ok(Self { thread, rejected })
    }

    /// Records that were not what they should be.
    pub fn rejected(&self) -> Rejected {
        self.rejected.clone()
    }

    /// Waits for the last record. The ring reader must be gone.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the thread that decodes events panicked");
        }
    }
}

fn commit(
    record: &RawRecord,
    entities: &Entities,
    journal: &dyn Journal,
    meter: &EventMeter,
    rejected: &Rejected,
) {
    let Some(def) = PROBES.get(record.source) else { return };
    match decode(def, &record.bytes, entities) {
        Some(event) => {
            let name = event.def.name;
            journal.append(Arc::new(event));
            meter.recorded(name);
        }
        None => {
            rejected.count(record.source);
            tracing::debug!(probe = def.name, length = record.bytes.len(), "malformed record");
        }
    }
}

/// A decoder that panics on a record has not understood it.
fn decode(def: &ProbeDef, bytes: &[u8], entities: &Entities) -> Option<crate::signal::Event> {
    let decode = def.decode?;
    catch_unwind(AssertUnwindSafe(|| decode(bytes, entities))).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::config::Config;
    use crate::hostfs::HostFs;
    use crate::journal::MemoryJournal;

    #[test]
    fn records_of_wrong_size_are_counted_and_the_next_ones_are_decoded() {
        let root = tempfile::tempdir().unwrap();
        let fs = HostFs::new(root.path());
        let entities = Arc::new(Entities::discover(&Config::default(), &fs));
        let journal = Arc::new(MemoryJournal::new(8));
        let (out, records) = sync_channel(8);
        let decoder = Decoder::start(records, entities, journal.clone()).unwrap();
        let rejected = decoder.rejected();
        let source = PROBES.iter().position(|def| def.name == "memory.oom").unwrap();
        let whole = size_of::<ebpf::memory_oom::records::oom_kill>();
        for length in [0, 7, whole - 1, whole + 1, whole] {
            out.send(RawRecord { source, bytes: vec![0xff; length] }).unwrap();
        }
        out.send(RawRecord { source: usize::MAX, bytes: Vec::new() }).unwrap();
        drop(out);
        decoder.join();
        assert_eq!(rejected.counts().collect::<Vec<_>>(), [("memory.oom", 4)]);
        assert_eq!(*journal.head().borrow(), 1);
    }
}
