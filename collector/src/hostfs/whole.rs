// SPDX-License-Identifier: Apache-2.0
//! Reading a file of the kernel whole, into a buffer that is kept.

use std::io;
use std::os::fd::AsFd;

use rustix::io::pread;

use super::MAX_FILE;

/// How the kernel gives a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// A page of lines at a time: only an empty read is the end.
    Many,
    /// All at once, as far as there is room (`single_open`, fs/seq_file.c).
    One,
}

/// Reads the file from its beginning; gives how many bytes came. The buffer has `first` bytes at
/// least, and grows to the file's length. Over 4 MiB is an error.
pub(super) fn read_whole(
    file: impl AsFd,
    buffer: &mut Vec<u8>,
    first: usize,
    pieces: Pieces,
) -> io::Result<usize> {
    if buffer.len() < first {
        buffer.resize(first, 0);
    }
    let mut length = 0;
    loop {
        let got = pread(&file, &mut buffer[length..], length as u64)?;
        length += got;
        let has_room = length < buffer.len();
        if got == 0 || has_room && pieces == Pieces::One {
            return Ok(length);
        }
        if has_room {
            continue;
        }
        if length as u64 >= MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "over 4 MiB"));
        }
        buffer.resize(length * 2, 0);
    }
}
