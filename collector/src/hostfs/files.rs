// SPDX-License-Identifier: Apache-2.0
//! The files of one collection: each is read at most once, however many probes look at it.

use std::collections::HashMap;

use super::{HostFs, KeptFile, ReadError};

/// Kept files below `/proc`, by name.
#[derive(Debug)]
pub struct Files {
    fs: HostFs,
    kept: HashMap<&'static str, Slot>,
    collection: u64,
}

#[derive(Debug)]
struct Slot {
    file: KeptFile,
    read_in: u64,
}

impl Files {
    /// Nothing is opened yet.
    pub fn new(fs: &HostFs) -> Self {
        Self { fs: fs.clone(), kept: HashMap::new(), collection: 0 }
    }

    /// Files that are not kept.
    pub fn host(&self) -> &HostFs {
        &self.fs
    }

    /// From here on files are read anew.
    pub fn begin_collection(&mut self) {
        self.collection += 1;
    }

    /// The text of `/proc/<name>` in this collection.
    pub fn proc(&mut self, name: &'static str) -> Result<&str, ReadError> {
        let slot = self
            .kept
            .entry(name)
            .or_insert_with(|| Slot { file: self.fs.keep_proc(name), read_in: 0 });
        if slot.read_in == self.collection {
            return slot.file.text();
        }
        slot.read_in = self.collection;
        slot.file.read()
    }

    /// The text of the first of these files that can be read.
    pub fn first_of(&mut self, names: [&'static str; 2]) -> Result<&str, ReadError> {
        let name = if self.proc(names[0]).is_ok() { names[0] } else { names[1] };
        self.proc(name)
    }

    /// An error that names `/proc/<name>`.
    pub fn malformed(&self, name: &'static str, what: &'static str) -> ReadError {
        ReadError::Format { path: self.fs.proc(name), what }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_once_per_collection() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        let path = root.path().join("proc/loadavg");
        fs::write(&path, "1").unwrap();
        let mut files = Files::new(&HostFs::new(root.path()));
        files.begin_collection();
        assert_eq!(files.proc("loadavg").unwrap(), "1");
        fs::write(&path, "2").unwrap();
        assert_eq!(files.proc("loadavg").unwrap(), "1");
        files.begin_collection();
        assert_eq!(files.proc("loadavg").unwrap(), "2");
    }
}
