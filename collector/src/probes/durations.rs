// SPDX-License-Identifier: Apache-2.0
//! Durations that BPF programs count against the bounds of a metric.

use semconv::MetricDef;

use crate::signal::Histogram;

/// Kernel memory that a table may take; each entry takes a value per CPU.
const TABLE_BYTES: usize = 16 << 20;

/// The registry's bounds in the kernel's unit.
pub fn edges_ns(metric: &MetricDef) -> Vec<u64> {
    metric.bounds.iter().map(|bound| (bound * 1e9).round() as u64).collect()
}

/// A histogram in seconds.
pub fn histogram(buckets: &[u64], sum_ns: u64) -> Histogram {
    Histogram { buckets: buckets.to_vec(), sum: sum_ns as f64 / 1e9 }
}

/// Entries of a table of `T` per CPU that fit in [`TABLE_BYTES`]. Each collection walks the room
/// for all of them.
pub fn table_size<T>(possible_cpus: usize) -> u32 {
    let bytes_per_entry = possible_cpus.max(1) * size_of::<T>();
    (TABLE_BYTES / bytes_per_entry).clamp(512, 4096) as u32
}

/// Adds `other` to `sum`, bucket by bucket.
pub fn add_buckets(sum: &mut [u64], other: &[u64]) {
    for (sum, count) in sum.iter_mut().zip(other) {
        *sum += count;
    }
}

/// The earlier of two starts, of which 0 is none: only the CPU that made an entry knows when.
pub fn earlier(one: u64, other: u64) -> u64 {
    if one == 0 || other != 0 && other < one { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stays_within_its_memory() {
        let sizes = [2, 64, 1024, 0].map(table_size::<[u64; 16]>);
        assert_eq!(sizes, [4096, 2048, 512, 4096]);
    }

    #[test]
    fn no_start_is_later_than_any() {
        assert_eq!([earlier(0, 0), earlier(0, 5), earlier(5, 0), earlier(5, 3)], [0, 5, 5, 3]);
    }
}
