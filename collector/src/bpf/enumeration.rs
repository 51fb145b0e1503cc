// SPDX-License-Identifier: Apache-2.0
//! Members of the running kernel's enumerations, from its BTF (Documentation/bpf/btf.rst): names of
//! numbers that differ from kernel to kernel. aya reads the same types and does not show them.

/// `BTF_MAGIC` (include/uapi/linux/btf.h).
const MAGIC: u16 = 0xeb9f;
/// `BTF_KIND_ENUM`.
const ENUM: u32 = 6;
/// `struct btf_type`.
const TYPE_SIZE: usize = 12;
/// `struct btf_enum`.
const MEMBER_SIZE: usize = 8;

/// An enumeration of the kernel.
#[derive(Debug, Clone, Copy)]
pub enum Enumeration {
    /// The one of this name.
    Named(&'static str),
    /// The one that has this member; it may have no name.
    With(&'static str),
}

/// Name and number of each member.
pub type Members = Vec<(String, u32)>;

/// Name and number of each member of an enumeration, in the kernel's order; empty where there is
/// none, or where the bytes are no BTF.
pub fn members(btf: &[u8], wanted: Enumeration) -> Members {
    Sections::of(btf).and_then(|sections| sections.members(wanted)).unwrap_or_default()
}

struct Sections<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Sections<'a> {
    fn of(btf: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(btf.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let body = btf.get(word(btf, 4)? as usize..)?;
        let section = |at| {
            let (start, length) = (word(btf, at)? as usize, word(btf, at + 4)? as usize);
            body.get(start..start.checked_add(length)?)
        };
        Some(Self { types: section(8)?, strings: section(16)? })
    }

    fn members(&self, wanted: Enumeration) -> Option<Members> {
        let mut rest = self.types;
        while !rest.is_empty() {
            let info = word(rest, 4)?;
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let more = rest.get(TYPE_SIZE..)?;
            let size = size_behind(kind, count)?;
            let members = more.get(..size)?.chunks_exact(MEMBER_SIZE);
            let is_it = kind == ENUM
                && match wanted {
                    Enumeration::Named(name) => self.is_text(word(rest, 0)?, name),
                    Enumeration::With(member) => members
                        .clone()
                        .any(|m| word(m, 0).is_some_and(|at| self.is_text(at, member))),
                };
            if is_it {
                return members
                    .map(|m| Some((self.text(word(m, 0)?)?.to_owned(), word(m, 4)?)))
                    .collect();
            }
            rest = more.get(size..)?;
        }
        None
    }

    /// Whether the text at `at` is this one.
    fn is_text(&self, at: u32, text: &str) -> bool {
        let rest =
            self.strings.get(at as usize..).and_then(|all| all.strip_prefix(text.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn text(&self, at: u32) -> Option<&str> {
        let text = self.strings.get(at as usize..)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(text.get(..end)?).ok()
    }
}

/// Bytes that follow the `struct btf_type` of a type.
fn size_behind(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Int, variable, tag of a declaration.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Structure, union, section of data, enumeration of 64 bits.
        4 | 5 | 15 | 19 => 12 * count,
        // Enumeration, prototype of a function.
        ENUM | 13 => 8 * count,
        // Pointer, forward, typedef, volatile, const, restrict, function, float, tag of a type.
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// An int, and `enum e { A = 1, B = 7 }`.
    fn btf() -> Vec<u8> {
        let types = words(&[0, 1 << 24, 4, 32, 1, 6 << 24 | 2, 4, 3, 1, 5, 7]);
        let strings = b"\0e\0A\0B\0";
        let mut out = MAGIC.to_ne_bytes().to_vec();
        out.extend([1, 0]);
        out.extend(words(&[24, 0, types.len() as u32, types.len() as u32, strings.len() as u32]));
        out.extend(types);
        out.extend(strings);
        out
    }

    #[test]
    fn members_of_an_enumeration_have_their_names_and_numbers() {
        let expected = [("A".to_owned(), 1), ("B".to_owned(), 7)];
        for found in [Enumeration::Named("e"), Enumeration::With("A"), Enumeration::With("B")] {
            assert_eq!(members(&btf(), found), expected, "{found:?}");
        }
        // A member is no name, and the beginning of one is not the whole.
        for absent in [Enumeration::Named("A"), Enumeration::With("e"), Enumeration::With("")] {
            assert!(members(&btf(), absent).is_empty(), "{absent:?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_no_btf_has_none() {
        let whole = btf();
        for wanted in [Enumeration::Named("e"), Enumeration::With("B")] {
            for length in 0..whole.len() {
                assert!(members(&whole[..length], wanted).is_empty(), "{length} {wanted:?}");
            }
            assert!(members(b"\x7fELF", wanted).is_empty());
        }
    }

    #[test]
    fn no_byte_that_is_wrong_makes_it_panic() {
        let whole = btf();
        for at in 0..whole.len() {
            for byte in [0, 1, 6, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                for wanted in [Enumeration::Named("e"), Enumeration::With("B")] {
                    assert!(members(&broken, wanted).len() <= 2);
                }
            }
        }
    }
}
