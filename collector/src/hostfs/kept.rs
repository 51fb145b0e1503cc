// SPDX-License-Identifier: Apache-2.0
//! A file that is read at each collection: kept open, read from its start into a kept buffer.
//! Opening a procfs file costs more than parsing it.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::ReadError;
use super::whole::{Pieces, read_whole};

/// Room at first, doubled where it is too little. Most kept files are those of containers, and most
/// of these have a number or two.
const FIRST_BUFFER: usize = 64;

/// A kept descriptor and buffer.
#[derive(Debug)]
pub struct KeptFile {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    length: usize,
    pieces: Pieces,
}

impl KeptFile {
    /// Opened at the first read.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, buffer: Vec::new(), length: 0, pieces: Pieces::Many }
    }

    /// One that the kernel gives all at once, which saves the read that finds the end.
    pub fn of_one_piece(path: PathBuf) -> Self {
        Self { pieces: Pieces::One, ..Self::new(path) }
    }

    /// The file's present content. A descriptor that went stale is opened anew once.
    pub fn read(&mut self) -> Result<&str, ReadError> {
        let read = match self.read_kept() {
            Err(_) if self.file.take().is_some() => self.read_kept(),
            read => read,
        };
        self.length = 0;
        match read {
            Ok(length) => {
                self.length = length;
                self.text()
            }
            Err(source) => {
                self.file = None;
                Err(ReadError::Io { path: self.path.clone(), source })
            }
        }
    }

    /// What the last read gave; empty where it failed.
    pub fn text(&self) -> Result<&str, ReadError> {
        std::str::from_utf8(&self.buffer[..self.length])
            .map_err(|_| ReadError::Format { path: self.path.clone(), what: "is not UTF-8 text" })
    }

    fn read_kept(&mut self) -> io::Result<usize> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path)?),
        };
        read_whole(file, &mut self.buffer, FIRST_BUFFER, self.pieces)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn each_read_sees_the_present_content_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmstat");
        fs::write(&path, "short").unwrap();
        let mut kept = KeptFile::new(path.clone());
        assert_eq!(kept.read().unwrap(), "short");
        let long = "x".repeat(100_000);
        fs::write(&path, &long).unwrap();
        assert_eq!(kept.read().unwrap(), long);
        fs::write(&path, "").unwrap();
        assert_eq!(kept.read().unwrap(), "");
    }

    #[test]
    fn a_file_that_the_kernel_gives_by_the_page_comes_whole_each_time() {
        // Only loading a module changes it.
        let path = Path::new("/proc/crypto");
        let whole = fs::read_to_string(path).unwrap();
        assert!(whole.len() > 4096, "{} bytes", whole.len());
        let mut kept = KeptFile::new(path.to_owned());
        for _ in 0..3 {
            assert_eq!(kept.read().unwrap().len(), whole.len());
        }
    }

    #[test]
    fn a_missing_file_is_named_and_found_once_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loadavg");
        let mut kept = KeptFile::new(path.clone());
        assert!(kept.read().unwrap_err().to_string().contains("loadavg"));
        fs::write(&path, "0.1").unwrap();
        assert_eq!(kept.read().unwrap(), "0.1");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(KeptFile::new(path).read().unwrap_err().to_string().contains("UTF-8"));
    }
}
