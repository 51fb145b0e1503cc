// SPDX-License-Identifier: Apache-2.0
//! What decoders count. They write, collections read.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use crate::sync::lock;

/// Series at most: devices with ever new names must not fill the memory.
const MAX: usize = 4096;

/// How often, by what is counted.
#[derive(Debug)]
pub struct Counts<K>(Mutex<HashMap<K, u64>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> Counts<K> {
    /// Counts `more` of it, none to begin with. What is new beyond the bound is not counted.
    pub fn add(&self, key: K, more: u64) {
        let mut counts = lock(&self.0);
        if counts.len() < MAX || counts.contains_key(&key) {
            *counts.entry(key).or_default() += more;
        }
    }

    /// All of them.
    pub fn list(&self) -> Vec<(K, u64)> {
        lock(&self.0).iter().map(|(key, count)| (key.clone(), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_counted_up_to_a_bound_of_their_number() {
        let counts = Counts::default();
        counts.add(0, 1);
        (1..2 * MAX).for_each(|key| counts.add(key, 0));
        counts.add(0, 2);
        let all = counts.list();
        assert_eq!(all.len(), MAX);
        assert!(all.contains(&(0, 3)) && all.contains(&(1, 0)));
    }
}
