// SPDX-License-Identifier: Apache-2.0
//! TCP sockets by their state (`TCPDIAG_GETSOCK`, include/uapi/linux/inet_diag.h). The newer
//! question, `SOCK_DIAG_BY_FAMILY`, takes one for each version of IP, and a walk over the table for
//! each.

use std::io;

use super::{NetlinkError, NetlinkSocket};

const TCPDIAG_GETSOCK: u16 = 18;
/// `struct inet_diag_req`
const REQUEST: usize = 60;
/// Its `idiag_states`.
const STATES: std::ops::Range<usize> = 52..56;

/// States of TCP at their numbers less one (include/net/tcp_states.h).
pub const TCP_STATES: usize = 12;
/// All of them.
const ALL: u32 = 0x1ffe;

/// Sockets in each state. Takes the kernel some 0.15 ms and 0.4 µs a socket.
pub fn connections(socket: &mut NetlinkSocket) -> Result<[u64; TCP_STATES], NetlinkError> {
    let mut counts = [0; TCP_STATES];
    let mut question = vec![0; REQUEST];
    question[STATES].copy_from_slice(&ALL.to_ne_bytes());
    let answer = socket.dump(TCPDIAG_GETSOCK, question, |payload| count(&mut counts, payload));
    answer.map_err(|error| match error {
        NetlinkError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            NetlinkError::Missing("tcp_diag")
        }
        error => error,
    })?;
    Ok(counts)
}

/// `struct inet_diag_msg`: the family, and then the state.
fn count(counts: &mut [u64; TCP_STATES], payload: &[u8]) {
    let state = payload.get(1).and_then(|state| state.checked_sub(1));
    if let Some(count) = state.and_then(|state| counts.get_mut(usize::from(state))) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_counts_in_its_state() {
        let mut counts = [0; TCP_STATES];
        // The last ones have no state, or one that no kernel has.
        for payload in
            [&[2, 1, 0, 0][..], &[10, 1], &[2, 10], &[2, 12], &[2], &[], &[2, 0], &[2, 200]]
        {
            count(&mut counts, payload);
        }
        assert_eq!((counts[0], counts[9], counts[11]), (2, 1, 1));
        assert_eq!(counts.iter().sum::<u64>(), 4);
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let counts = connections(&mut NetlinkSocket::sock_diag().unwrap()).unwrap();
        assert!(counts[9] >= 1, "{counts:?}");
        drop(server);
    }
}
