// SPDX-License-Identifier: Apache-2.0
//! Fields of protobuf messages, written one after the other (protobuf.dev, "Encoding"). Messages of
//! metrics are many and small: to build each before it is written took most of the time of a push.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A text, or a message whose bytes are known.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    begin(out, field, value.len());
    out.extend_from_slice(value);
}

/// The head of a message, or of packed numbers, of `length` bytes that follow.
pub(super) fn begin(out: &mut Vec<u8>, field: u32, length: usize) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// What [`begin`] and the bytes after it take, of a field below 16.
pub(super) fn length(value: usize) -> usize {
    1 + encoded_len_varint(value as u64) + value
}

/// `fixed64`, `sfixed64` or `double`.
pub(super) fn eight(out: &mut Vec<u8>, field: u32, value: [u8; 8]) {
    encode_key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&value);
}

/// `int64`, `uint32`, `bool` or an enumeration.
pub(super) fn varint(out: &mut Vec<u8>, field: u32, value: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(value, out);
}

/// Packed `fixed64` or `double`.
pub(super) fn packed<const N: usize>(
    out: &mut Vec<u8>,
    field: u32,
    values: impl ExactSizeIterator<Item = [u8; N]>,
) {
    begin(out, field, N * values.len());
    values.for_each(|value| out.extend_from_slice(&value));
}
