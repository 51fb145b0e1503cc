// SPDX-License-Identifier: Apache-2.0
//! Compares what the agent found on a kernel with what it has to find.

use anyhow::{Context, Result, ensure};
use integration::expectations::{Catalogue, Ceilings, Check, sizes};

/// An error unless all is as `kernels.toml` and `instruction-ceilings.toml` say; or writes them where
/// `UPDATE_EXPECTATIONS` is set.
pub fn judge(version: &str, check: &str) -> Result<()> {
    let check: Check = serde_json::from_str(check).context("what the agent's check printed")?;
    print_sizes(version, &check);
    let (mut catalogue, mut ceilings) = (Catalogue::read()?, Ceilings::read()?);
    let mut found = catalogue.differences(version, &check)?;
    found.extend(ceilings.differences(&check));
    if std::env::var_os("UPDATE_EXPECTATIONS").is_some() {
        println!("lab: {version}: accepts {} differences", found.len());
        catalogue.accept(version, &check)?;
        ceilings.accept(&check);
        catalogue.write()?;
        return ceilings.write();
    }
    ensure!(
        found.is_empty(),
        "{version} is not as integration/kernels.toml and instruction-ceilings.toml say; \
         UPDATE_EXPECTATIONS=1 accepts all of this:\n{}",
        found.join("\n")
    );
    Ok(())
}

fn print_sizes(version: &str, check: &Check) {
    println!("lab: {version}: instructions, verifier's steps, program");
    for (name, (instructions, verified)) in sizes(check) {
        let verified = if verified == 0 { "-".to_owned() } else { verified.to_string() };
        println!("  {instructions:6} {verified:>8}  {name}");
    }
}
