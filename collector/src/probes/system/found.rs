// SPDX-License-Identifier: Apache-2.0
//! How often the kernel found something: its own count where it keeps one, or else ours.

use std::path::PathBuf;

use semconv::MetricDef;

use crate::bpf::{LoadError, Object, PerCpuTotal};
use crate::hostfs::KeptFile;
use crate::kernel::unix_now;
use crate::probes::{Collect, CollectError};
use crate::signal::{Recorder, UnixNanos};

/// A count. What becomes of events does not change it.
pub(super) struct Found {
    of_kernel: KeptFile,
    ours: PerCpuTotal<u64>,
    attached: UnixNanos,
}

impl Found {
    /// The kernel's file, and the map of an object that includes `found.h`.
    pub fn new(file: PathBuf, object: &mut Object) -> Result<Self, LoadError> {
        let ours = object.per_cpu_total("found")?;
        Ok(Self { of_kernel: KeptFile::new(file), ours, attached: unix_now() })
    }

    /// Records it.
    pub fn collect(
        &mut self,
        def: &'static MetricDef,
        cx: &Collect<'_>,
        out: &mut Recorder,
    ) -> Result<(), CollectError> {
        let of_kernel = self.of_kernel.read().ok().and_then(|text| text.trim().parse().ok());
        let (start, count) = match of_kernel {
            Some(count) => (cx.boot_time, count),
            None => (self.attached, self.ours.values()?.iter().sum()),
        };
        out.host().sum(def, Vec::new(), start, count);
        Ok(())
    }
}
