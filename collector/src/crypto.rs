// SPDX-License-Identifier: Apache-2.0
//! One implementation of cryptography for the TLS of all libraries.

/// Must be called before the first use of TLS or of an HTTP client. Any further call does nothing.
pub fn install() {
    // It fails where there is one already, and that is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
