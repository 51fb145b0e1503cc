// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `cpu`.

pub mod cgroup;
pub mod loadavg;
pub mod runqlat;
pub mod softirq;
pub mod utilization;

use semconv::attribute;

use crate::signal::{Attribute, Value};

fn in_mode(mode: &'static str) -> Vec<Attribute> {
    vec![(&attribute::CPU_MODE, Value::Static(mode))]
}
