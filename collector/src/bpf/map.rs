// SPDX-License-Identifier: Apache-2.0
//! Maps that probes read, typed by the records of their C header.

use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Deref;

use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues};
use thiserror::Error;
use zerocopy::{FromBytes, KnownLayout};

/// A map could not be read.
#[derive(Debug, Error)]
#[error("read BPF map: {0}")]
pub struct MapError(#[from] aya::maps::MapError);

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

/// One value that programs read and we write.
pub struct Cell<T: Record>(Array<MapData, Plain<T>>);

impl<T: Record> Cell<T> {
    pub(super) fn new(map: Map) -> Option<Self> {
        Array::try_from(map).ok().map(Self)
    }

    /// Writes it.
    pub fn set(&mut self, value: T) -> Result<(), MapError> {
        Ok(self.0.set(0, Plain(value), 0)?)
    }
}

/// Values by key. Entries stay until [`Table::remove`]: nothing is evicted behind our back, so a
/// counter never goes backwards.
pub struct Table<K: Record, T: Record>(Kind<K, T>);

/// Values by cgroup id.
pub type CgroupTable<T> = Table<u64, T>;

enum Kind<K: Record, T: Record> {
    /// One value per CPU and key, with what adds up the CPUs.
    PerCpu(PerCpuHashMap<MapData, Plain<K>, Plain<T>>, fn(&[T]) -> T),
    /// One value per key.
    Shared(HashMap<MapData, Plain<K>, Plain<T>>),
}

impl<K: Record, T: Record> Table<K, T> {
    pub(super) fn shared(map: Map) -> Option<Self> {
        HashMap::try_from(map).ok().map(|map| Self(Kind::Shared(map)))
    }

    pub(super) fn per_cpu(map: Map, total: fn(&[T]) -> T) -> Option<Self> {
        PerCpuHashMap::try_from(map).ok().map(|map| Self(Kind::PerCpu(map, total)))
    }

    /// All entries. One that vanishes while we look is left out.
    pub fn entries(&self) -> Result<Vec<(K, T)>, MapError> {
        let keys: Vec<Plain<K>> = match &self.0 {
            Kind::PerCpu(map, _) => map.keys().collect::<Result<_, _>>()?,
            Kind::Shared(map) => map.keys().collect::<Result<_, _>>()?,
        };
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            match self.value(key) {
                Ok(value) => entries.push((key.0, value)),
                Err(aya::maps::MapError::KeyNotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(entries)
    }

    fn value(&self, key: Plain<K>) -> Result<T, aya::maps::MapError> {
        match &self.0 {
            Kind::PerCpu(map, total) => Ok(total(&per_cpu(&map.get(&key, 0)?))),
            Kind::Shared(map) => Ok(map.get(&key, 0)?.0),
        }
    }

    /// Removes the entry of `key`.
    pub fn remove(&mut self, key: K) -> Result<(), MapError> {
        let removed = match &mut self.0 {
            Kind::PerCpu(map, _) => map.remove(&Plain(key)),
            Kind::Shared(map) => map.remove(&Plain(key)),
        };
        match removed {
            Err(aya::maps::MapError::KeyNotFound) => Ok(()),
            removed => removed.map_err(MapError),
        }
    }
}

/// Keys that programs look up and we write.
pub struct Keys<K: Record> {
    map: HashMap<MapData, Plain<K>, u32>,
    known: HashSet<K>,
}

impl<K: Record + Eq + Hash> Keys<K> {
    pub(super) fn new(map: Map) -> Option<Self> {
        let map = HashMap::try_from(map).ok()?;
        Some(Self { map, known: HashSet::new() })
    }

    /// Makes them these. What there is no room for is left out.
    pub fn set(&mut self, wanted: impl Iterator<Item = K>) {
        let wanted: HashSet<K> = wanted.collect();
        let map = &mut self.map;
        self.known.retain(|key| wanted.contains(key) || map.remove(&Plain(*key)).is_err());
        for key in wanted {
            if !self.known.contains(&key) && map.insert(Plain(key), 0, 0).is_ok() {
                self.known.insert(key);
            }
        }
    }
}

fn per_cpu<T: Record>(values: &PerCpuValues<Plain<T>>) -> Vec<T> {
    values.deref().iter().map(|value| value.0).collect()
}

/// CPUs that may ever be online (`/sys/devices/system/cpu/possible`).
pub fn possible_cpus() -> usize {
    aya::util::nr_cpus().unwrap_or(1)
}
