// SPDX-License-Identifier: Apache-2.0
//! What answers at the port of the kubelet may be anything.
#![no_main]

use huatuo_otel::kubelet::document::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pods) = read(bytes) {
        for pod in pods.pods {
            assert!(!pod.uid.is_empty());
            pod.host_name("node");
            pod.class_of(pod.name.as_deref());
        }
    }
});
