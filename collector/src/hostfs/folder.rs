// SPDX-License-Identifier: Apache-2.0
//! A folder kept open whose files are not: below `/proc/<pid>/net` an open file would keep the
//! network namespace, with its devices, beyond the end of its containers.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, openat};

use super::whole::{Pieces, read_whole};

/// Most files of a network namespace fit.
const FIRST_BUFFER: usize = 8192;

/// An open folder.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// The text of the file `name` in it, read into `buffer`; `None` where it has just gone, is no
    /// UTF-8 or over 4 MiB.
    pub fn read<'a>(&self, name: &str, buffer: &'a mut Vec<u8>) -> Option<&'a str> {
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let length = read_whole(&file, buffer, FIRST_BUFFER, Pieces::Many).ok()?;
        std::str::from_utf8(&buffer[..length]).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_of_any_length_are_read_into_one_buffer() {
        let root = tempfile::tempdir().unwrap();
        let long = "x".repeat(100_000);
        fs::write(root.path().join("long"), &long).unwrap();
        fs::write(root.path().join("short"), "1\n").unwrap();
        fs::write(root.path().join("binary"), [0xff]).unwrap();
        let (folder, mut buffer) = (Folder::open(root.path()).unwrap(), Vec::new());
        assert_eq!(folder.read("long", &mut buffer), Some(&*long));
        assert_eq!(folder.read("short", &mut buffer), Some("1\n"));
        assert_eq!(folder.read("binary", &mut buffer), None);
        assert_eq!(folder.read("absent", &mut buffer), None);
        assert!(Folder::open(&root.path().join("absent")).is_err());
    }
}
