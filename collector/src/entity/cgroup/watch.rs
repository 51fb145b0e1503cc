// SPDX-License-Identifier: Apache-2.0
//! inotify on the folders of a cgroup hierarchy. cgroups are made and removed by processes, so that
//! the kernel tells of each, on v1 as on v2.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Bytes of one read: some hundred changes.
const BUFFER: usize = 16 << 10;

/// A folder appeared or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A cgroup was made below the one at this path.
    Made(Arc<str>, Box<OsStr>),
    /// A cgroup was removed below the one at this path.
    Removed(Arc<str>, Box<OsStr>),
}

/// What happened since the last look.
#[derive(Debug)]
pub enum Changes {
    /// All of it.
    All(Vec<Change>),
    /// The kernel's queue was full: only a walk can tell.
    Lost,
}

/// Watches folders, as long as the kernel allows it.
#[derive(Debug)]
pub struct Watch {
    inotify: Arc<OwnedFd>,
    folders: HashMap<i32, Arc<str>>,
    watches: HashMap<Arc<str>, i32>,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Result<Self, Errno> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let (folders, watches) = (HashMap::new(), HashMap::new());
        Ok(Self { inotify: Arc::new(inotify), folders, watches })
    }

    /// Becomes readable when something changes.
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    /// Watches `folder`, the cgroup at `path`. An error means that the kernel watches no more
    /// folders for us; a folder that is gone is none.
    pub fn add(&mut self, folder: &Path, path: &Arc<str>) -> Result<(), Errno> {
        let wanted =
            WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
        match inotify::add_watch(&*self.inotify, folder, wanted) {
            Ok(watch) => {
                self.folders.insert(watch, Arc::clone(path));
                self.watches.insert(Arc::clone(path), watch);
                Ok(())
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Watches the cgroup at `path` no longer. Also for those that were removed: the watch keeps
    /// their inode, and the kernel does not end it by itself.
    pub fn remove(&mut self, path: &str) {
        if let Some(watch) = self.watches.remove(path) {
            self.folders.remove(&watch);
            // It may be gone already.
            let _ = inotify::remove_watch(&*self.inotify, watch);
        }
    }

    /// Folders that are watched.
    #[cfg(test)]
    pub fn watched(&self) -> usize {
        self.watches.len()
    }

    /// What happened since the last call.
    pub fn changes(&mut self) -> Changes {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&*self.inotify, &mut buffer);
        let mut changes = Vec::new();
        let mut is_complete = true;
        // Ends with `AGAIN`.
        while let Ok(event) = reader.next() {
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                is_complete = false;
            }
            let (Some(folder), Some(name)) = (self.folders.get(&event.wd()), event.file_name())
            else {
                continue;
            };
            let name: Box<OsStr> = OsStr::from_bytes(name.to_bytes()).into();
            if what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                changes.push(Change::Made(Arc::clone(folder), name));
            } else if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
                changes.push(Change::Removed(Arc::clone(folder), name));
            }
        }
        if is_complete { Changes::All(changes) } else { Changes::Lost }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_that_come_and_go_are_told_in_order() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = Watch::new().unwrap();
        let path: Arc<str> = "/".into();
        watch.add(root.path(), &path).unwrap();
        watch.add(&root.path().join("gone"), &path).unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::remove_dir(root.path().join("a")).unwrap();
        let Changes::All(changes) = watch.changes() else { panic!("nothing was lost") };
        let name: Box<OsStr> = OsStr::new("a").into();
        let expected = [Change::Made(Arc::clone(&path), name.clone()), Change::Removed(path, name)];
        assert_eq!(changes, expected);
        assert!(matches!(watch.changes(), Changes::All(none) if none.is_empty()));
    }

    #[test]
    fn a_folder_that_is_not_watched_tells_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.add(&folder, &"/a".into()).unwrap();
        watch.remove("/a");
        watch.remove("/a");
        fs::create_dir(folder.join("b")).unwrap();
        assert!(matches!(watch.changes(), Changes::All(none) if none.is_empty()));
        assert!(watch.folders.is_empty() && watch.watches.is_empty());
    }
}
