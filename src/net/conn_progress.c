/* SPDX-License-Identifier: MIT */
/*
 * How far a peer has come in what it is sent, by what its TCP has acknowledged.
 *
 * A message that is a part of an endless answer has arrived when the bytes up to its end are
 * acknowledged. Which bytes those are nobody counts (TLS adds its own): who has written it looks at
 * `written`, once the kernel has all, and waits until `acked` is there.
 */
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/conn_internal.h"

/* The kernel's, as far as it is needed: the C library's ends before it counts bytes. */
struct info {
	struct tcp_info head;
	uint64_t pacing_rate, max_pacing_rate, bytes_acked; /* Linux 4.1 */
};

_Static_assert(offsetof(struct info, pacing_rate) == 104, "as in linux/tcp.h");

bool conn_progress(const struct conn *c, struct conn_progress *ret)
{
	struct info info = { 0 };
	socklen_t n = sizeof(info);
	int queued;

	/* The queue first: what is acknowledged between the two calls counts in both, never in neither. */
	if (c->failure || c->fd < 0 || ioctl(c->fd, SIOCOUTQ, &queued) < 0)
		return false;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0) {
		/* A Unix socket: nothing is counted, but whether the peer has read all is known. */
		*ret = (struct conn_progress){ .written = queued > 0,
					       .acked = queued ? 0 : UINT64_MAX };
	} else {
		/* A reset empties the queue, too. */
		if (info.head.tcpi_state == TCP_CLOSE)
			return false;
		*ret = (struct conn_progress){ .written = info.bytes_acked + (uint64_t)queued,
					       .acked = info.bytes_acked };
	}
	ret->pending = buf_len(&c->out);
	ret->all = queued == 0 && ret->pending == 0;
	return true;
}
