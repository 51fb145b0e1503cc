// SPDX-License-Identifier: Apache-2.0
//! Names of pods from the kubelet. It is asked while a container's pod is not known, and never
//! waited for by anything that measures.

mod client;
mod config;
pub mod document;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use client::Kubelet;
pub use config::PodConfig;

use crate::entity::Entities;
use crate::status::SourceStatus;

/// Between two questions; doubles while a pod is still not known.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest of these waits.
const LAST_WAIT: Duration = Duration::from_secs(60);

/// Asks whenever it is needed, until `stop`.
pub async fn run(
    kubelet: Kubelet,
    entities: Arc<Entities>,
    status: SourceStatus,
    stop: CancellationToken,
) {
    stop.run_until_cancelled(keep_asking(kubelet, &entities, &status)).await;
}

async fn keep_asking(mut kubelet: Kubelet, entities: &Entities, status: &SourceStatus) {
    let mut wait = FIRST_WAIT;
    loop {
        while !entities.lacks_pods() {
            entities.pods_wanted().await;
            wait = FIRST_WAIT;
        }
        let works = ask(&mut kubelet, entities, status).await;
        // A new container is worth a new question, unless nobody answers.
        let is_new = async {
            match works {
                true => entities.pods_wanted().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LAST_WAIT),
            () = is_new => {
                tokio::time::sleep(FIRST_WAIT).await;
                wait = FIRST_WAIT;
            }
        }
    }
}

/// Asks once; true where it answered.
pub async fn ask(kubelet: &mut Kubelet, entities: &Entities, status: &SourceStatus) -> bool {
    match kubelet.pods().await {
        Ok(pods) => {
            tracing::debug!(pods = pods.pods.len(), left_out = pods.left_out, "pods are known");
            entities.set_pods(pods.pods);
            status.works();
            true
        }
        Err(reason) => {
            status.fails(&reason);
            false
        }
    }
}
