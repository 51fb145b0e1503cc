// SPDX-License-Identifier: Apache-2.0
//! The legacy page: a snapshot under HUATUO's metric names, as Prometheus text or OpenMetrics.
