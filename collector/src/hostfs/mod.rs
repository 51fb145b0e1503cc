// SPDX-License-Identifier: Apache-2.0
//! The only door to `/proc`, `/sys` and cgroups, so that another root (`--procfs-prefix`) or a
//! folder of a test stands in for the machine.

pub mod bonding;
mod cgroup;
mod files;
mod folder;
mod kept;
pub mod mounts;
pub mod parse;
mod whole;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use cgroup::CgroupFiles;
pub use files::Files;
pub use folder::Folder;
pub use kept::KeptFile;
pub use mounts::CgroupMount;

/// Files larger than this are not what they claim to be. `/proc/vmstat` has 4 KiB, the `/proc/stat`
/// of a machine with 1,000 CPUs some 200 KiB.
const MAX_FILE: u64 = 4 << 20;

/// A file could not be read or understood.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The kernel did not give it.
    #[error("read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It has another shape than the kernel's documentation gives it.
    #[error("{path}: {what}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A root with `proc` and `sys` below it.
#[derive(Debug, Clone)]
pub struct HostFs {
    root: PathBuf,
}

impl HostFs {
    /// `root` is `/`, or the folder that stands in for it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `<root>/proc/<relative>`
    pub fn proc(&self, relative: &str) -> PathBuf {
        self.root.join("proc").join(relative)
    }

    /// `<root><absolute>`, for paths the kernel names, e.g. mount points.
    pub fn rooted(&self, absolute: &Path) -> PathBuf {
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The text of a file below `/proc`.
    pub fn read_proc(&self, relative: &str) -> Result<String, ReadError> {
        read(&self.proc(relative))
    }

    /// The text of a file named by its absolute path.
    pub fn read_rooted(&self, absolute: &Path) -> Result<String, ReadError> {
        read(&self.rooted(absolute))
    }

    /// A file below `/proc` that is read again and again.
    pub fn keep_proc(&self, relative: &str) -> KeptFile {
        KeptFile::new(self.proc(relative))
    }

    /// Where the hierarchy with a controller of cgroups is mounted: one of v1 that has it, else v2.
    pub fn controller(&self, name: &str) -> Option<CgroupMount> {
        mounts::controller(&self.read_proc("self/mounts").ok()?, name)
    }
}

/// The text of a file, up to a bound; bytes that are no UTF-8 are replaced.
pub fn read(path: &Path) -> Result<String, ReadError> {
    let wrap = |source| ReadError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(wrap)?;
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(wrap)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
