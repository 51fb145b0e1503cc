// SPDX-License-Identifier: Apache-2.0
//! Turns `registry/`, `upstream/` and `kernel_fields.yaml` into `OUT_DIR/registry.rs`.

#[path = "build/emit.rs"]
mod emit;
#[path = "build/fields.rs"]
mod fields;
#[path = "build/load.rs"]
mod load;
#[path = "build/model.rs"]
mod model;
#[path = "build/ordered.rs"]
mod ordered;
#[path = "build/resolve.rs"]
mod resolve;

use std::path::Path;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    for source in ["build", "registry", "upstream", "kernel_fields.yaml"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let registry = load::registry(Path::new("."))?;
    let families = load::families(Path::new("kernel_fields.yaml"))?;
    resolve::check(&registry)?;

    let out = std::env::var("OUT_DIR").context("OUT_DIR is set by cargo; run `cargo build`")?;
    let path = Path::new(&out).join("registry.rs");
    let code = emit::registry(&registry) + &fields::emit(&families)?;
    std::fs::write(&path, code).with_context(|| format!("cannot write {}", path.display()))
}
