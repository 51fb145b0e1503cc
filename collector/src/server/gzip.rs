// SPDX-License-Identifier: Apache-2.0
//! A page compressed piece by piece.

use std::io::{self, Write};
use std::mem;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The pieces of a page, compressed.
pub struct Gzip<I> {
    /// `None` at the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
    pieces: I,
}

impl<I> Gzip<I> {
    /// Compresses `pieces` as they are taken.
    pub fn new(pieces: I) -> Self {
        Self { encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())), pieces }
    }
}

impl<I: Iterator<Item = String>> Iterator for Gzip<I> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let encoder = self.encoder.as_mut()?;
            let Some(piece) = self.pieces.next() else {
                return Some(self.encoder.take()?.finish().map(Bytes::from));
            };
            if let Err(error) = encoder.write_all(piece.as_bytes()) {
                self.encoder = None;
                return Some(Err(error));
            }
            let written = mem::take(encoder.get_mut());
            if !written.is_empty() {
                return Some(Ok(written.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_unpacked_is_what_was_given() {
        let pieces: Vec<String> = (0..200).map(|at| at.to_string().repeat(1000)).collect();
        let packed: Vec<u8> = Gzip::new(pieces.clone().into_iter())
            .flat_map(|piece| piece.unwrap().to_vec())
            .collect();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, pieces.concat());
    }
}
