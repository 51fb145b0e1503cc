/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The state of every TCP socket of the network namespace that asks, in one pass. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("iter/tcp")
int connections_iter(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sock = ctx->sk_common;
	u8 state;

	/* The end. */
	if (!sock)
		return 0;
	state = sock->skc_state;
	bpf_seq_write(ctx->meta->seq, &state, sizeof(state));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
