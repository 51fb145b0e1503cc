// SPDX-License-Identifier: Apache-2.0
//! Files of one cgroup, on v1 and v2.

use std::collections::HashMap;
use std::path::PathBuf;

use super::{CgroupMount, HostFs, KeptFile};

/// Kept files of a cgroup in the hierarchy of one controller.
#[derive(Debug)]
pub struct CgroupFiles {
    folder: PathBuf,
    kept: HashMap<&'static str, KeptFile>,
    /// The hierarchy is one of v1.
    pub v1: bool,
}

impl CgroupFiles {
    /// The cgroup at `path` below the root of `mount`.
    pub fn new(fs: &HostFs, mount: &CgroupMount, path: &str) -> Self {
        let folder = fs.rooted(&mount.root).join(path.trim_start_matches('/'));
        Self { folder, kept: HashMap::new(), v1: mount.v1 }
    }

    /// The text of a file; `None` where the cgroup or the kernel does not have it. Files of
    /// controllers come in one piece; lists of processes do not.
    pub fn read(&mut self, name: &'static str) -> Option<&str> {
        let folder = &self.folder;
        let file =
            self.kept.entry(name).or_insert_with(|| KeptFile::of_one_piece(folder.join(name)));
        file.read().ok()
    }

    /// A file of one whole number; `None` also for `max` and the like.
    pub fn number(&mut self, name: &'static str) -> Option<u64> {
        self.read(name)?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_not_there_or_no_number_is_none() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cg/docker/x");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("memory.current"), "4096\n").unwrap();
        fs::write(folder.join("memory.max"), "max\n").unwrap();
        let mount = CgroupMount { root: Path::new("/cg").to_owned(), v1: false };
        let mut files = CgroupFiles::new(&HostFs::new(root.path()), &mount, "/docker/x");
        assert_eq!(files.number("memory.current"), Some(4096));
        assert_eq!(files.number("memory.max"), None);
        assert_eq!(files.number("memory.peak"), None);
    }
}
