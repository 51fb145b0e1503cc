// SPDX-License-Identifier: Apache-2.0
//! `instruction-ceilings.toml`: how large each BPF program may be on any kernel of the lab.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::check::Check;
use crate::root;

const HEADER: &str = "\
# SPDX-License-Identifier: Apache-2.0
# The most that each BPF program may be on any kernel of the lab: instructions as the verifier left
# them, and steps that the verifier took (Linux 5.16 and later tell; its own limit is a million).
# Ten percent over what was seen. `UPDATE_EXPECTATIONS=1 make lab KERNEL=6.1 TEST=` raises what is
# over; to lower one, remove its line and run `UPDATE_EXPECTATIONS=1 make lab-matrix TEST=`.

";

/// Instructions, and the verifier's steps.
type Ceiling = (u32, u32);

/// The file: by `probe/program`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ceilings(BTreeMap<String, Ceiling>);

/// The programs of a kernel by `probe/program`.
pub fn sizes(check: &Check) -> BTreeMap<String, Ceiling> {
    let mut all = BTreeMap::new();
    for probe in &check.probes {
        for size in probe.sizes() {
            let verified = size.verified_instructions.unwrap_or(0);
            let name = format!("{}/{}", probe.probe, size.program);
            all.insert(name, (size.instructions, verified));
        }
    }
    all
}

impl Ceilings {
    /// The file as it is now; empty where there is none.
    pub fn read() -> Result<Self> {
        let path = path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes the file anew.
    pub fn write(&self) -> Result<()> {
        Ok(fs::write(path(), format!("{HEADER}{}", toml::to_string(self)?))?)
    }

    /// Programs that are over their ceiling or have none, with the line to write.
    pub fn differences(&self, check: &Check) -> Vec<String> {
        let mut found = Vec::new();
        for (name, size) in sizes(check) {
            let ceiling = self.0.get(&name).copied().unwrap_or_default();
            if raised(ceiling, size) != ceiling {
                let (instructions, verified) = raised(ceiling, size);
                found.push(format!(
                    "{name}: {size:?} instructions are over {ceiling:?}; to accept it write\n\
                     \"{name}\" = [{instructions}, {verified}]"
                ));
            }
        }
        found
    }

    /// Raises what is over.
    pub fn accept(&mut self, check: &Check) {
        for (name, size) in sizes(check) {
            let ceiling = self.0.entry(name).or_default();
            *ceiling = raised(*ceiling, size);
        }
    }
}

fn raised(ceiling: Ceiling, size: Ceiling) -> Ceiling {
    let over =
        |ceiling: u32, size: u32| if size > ceiling { size + size.div_ceil(10) } else { ceiling };
    (over(ceiling.0, size.0), over(ceiling.1, size.1))
}

fn path() -> PathBuf {
    root().join("integration/instruction-ceilings.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(instructions: u32, verified: &str) -> Check {
        let size = format!(
            r#"{{"program":"p","instructions":{instructions},"verified_instructions":{verified}}}"#
        );
        let hook = format!(
            r#"{{"hook":"x","state":"attached","way":"raw_tp","size":{size},"reason":""}}"#
        );
        let text = format!(
            r#"{{"probes":[{{"probe":"a.b","state":"attached","reason":"","hooks":[{hook}]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_program_may_grow_by_a_tenth_and_no_more() {
        let mut ceilings = Ceilings::default();
        assert_eq!(ceilings.differences(&check(100, "200")).len(), 1);
        ceilings.accept(&check(100, "200"));
        assert_eq!(ceilings.0["a.b/p"], (110, 220));
        assert!(ceilings.differences(&check(110, "220")).is_empty());
        let found = ceilings.differences(&check(100, "221"));
        assert!(found[0].ends_with("\n\"a.b/p\" = [110, 244]"), "{found:?}");
        // Kernels before 5.16 do not tell the second.
        assert!(ceilings.differences(&check(100, "null")).is_empty());
    }
}
