// SPDX-License-Identifier: Apache-2.0
//! Maps that probes read, typed by the records of their C header.

use std::ops::Deref;

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use aya::Pod;
use zerocopy::{FromBytes, KnownLayout};

/// A record type of `ebpf::*::records`.
pub trait Record: FromBytes + KnownLayout + Copy + Send + 'static {}
impl<T: FromBytes + KnownLayout + Copy + Send + 'static> Record for T {}

/// Carries a record through aya.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

#[expect(unsafe_code, reason = "aya reads map values as bytes and asks for a promise")]
// SAFETY: `FromBytes` says that every bit pattern is a valid `T`; the newtype is transparent.
unsafe impl<T: Record> Pod for Plain<T> {}

/// One value per CPU, e.g. a histogram of the whole host.
pub struct PerCpuTotal<T: Record> {
    array: PerCpuArray<MapData, Plain<T>>,
}

impl<T: Record> PerCpuTotal<T> {
    pub(super) fn new(map: Map) -> Option<Self> {
        PerCpuArray::try_from(map).ok().map(|array| Self { array })
    }

    /// The values of all CPUs.
    pub fn values(&self) -> Result<Vec<T>, MapError> {
        Ok(per_cpu(&self.array.get(&0, 0)?))
    }
}

/// Values keyed by cgroup id. Entries stay until [`CgroupTable::retain`] removes them: nothing is
/// evicted behind our back, so a counter never goes backwards.
pub enum CgroupTable<T: Record> {
    /// One value per CPU and cgroup.
    PerCpu(PerCpuHashMap<MapData, u64, Plain<T>>),
    /// One value per cgroup.
    Shared(HashMap<MapData, u64, Plain<T>>),
}

impl<T: Record> CgroupTable<T> {
    pub(super) fn new(map: Map) -> Option<Self> {
        match map {
            Map::PerCpuHashMap(_) => PerCpuHashMap::try_from(map).ok().map(Self::PerCpu),
            _ => HashMap::try_from(map).ok().map(Self::Shared),
        }
    }

    /// The ids that have an entry.
    pub fn ids(&self) -> Result<Vec<u64>, MapError> {
        match self {
            Self::PerCpu(map) => map.keys().collect(),
            Self::Shared(map) => map.keys().collect(),
        }
    }

    /// The values of `id`, one per CPU or just one; empty when the entry is gone.
    pub fn values(&self, id: u64) -> Result<Vec<T>, MapError> {
        let values = match self {
            Self::PerCpu(map) => map.get(&id, 0).map(|values| per_cpu(&values)),
            Self::Shared(map) => map.get(&id, 0).map(|value| vec![value.0]),
        };
        match values {
            Err(MapError::KeyNotFound) => Ok(Vec::new()),
            values => values,
        }
    }

    /// Removes the entry of `id`.
    pub fn remove(&mut self, id: u64) -> Result<(), MapError> {
        let removed = match self {
            Self::PerCpu(map) => map.remove(&id),
            Self::Shared(map) => map.remove(&id),
        };
        match removed {
            Err(MapError::KeyNotFound) => Ok(()),
            removed => removed,
        }
    }
}

fn per_cpu<T: Record>(values: &PerCpuValues<Plain<T>>) -> Vec<T> {
    values.deref().iter().map(|value| value.0).collect()
}
