/* SPDX-License-Identifier: MIT */
/* The wall clock, for what people read. Time-outs use the loop's monotonic clock (loop_now). */
#ifndef VOXBUS_BASE_CLOCK_H
#define VOXBUS_BASE_CLOCK_H

#include <stdint.h>

enum { CLOCK_RFC3339_SIZE = 40, CLOCK_HTTP_SIZE = 32 };

/* Nanoseconds since 1970-01-01 UTC. */
uint64_t clock_wall_ns(void);
static inline uint64_t clock_wall_ms(void)
{
	return clock_wall_ns() / 1000000;
}
/*
 * RFC 3339 with the local offset ("Z" when it is zero). digits: 3 or 9 fraction digits, or 0 for
 * Go's RFC3339Nano: nine digits with trailing zeros, and then a bare point, removed.
 */
void clock_rfc3339(char out[CLOCK_RFC3339_SIZE], uint64_t wall_ns, int digits);
/* "Sat, 21 Nov 2026 00:03:13 GMT" (RFC 9110 section 5.6.7). */
void clock_http_date(char out[CLOCK_HTTP_SIZE], uint64_t wall_ns);

#endif
