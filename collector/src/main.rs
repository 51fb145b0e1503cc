// SPDX-License-Identifier: Apache-2.0
//! Arguments → configuration → agent → exit code.

fn main() {}
