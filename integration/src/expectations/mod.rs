// SPDX-License-Identifier: Apache-2.0
//! What the probes have to find on each kernel of the lab, and how large their programs may be. A
//! hook that is missing and one that works unexpectedly are both told.

mod catalogue;
mod ceilings;
mod check;

pub use catalogue::{Catalogue, Entry};
pub use ceilings::{Ceilings, sizes};
pub use check::{Check, Probe, Size};
