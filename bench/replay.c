/* SPDX-License-Identifier: MIT */
/*
 * ari_source.h as a program, for benchmarks that are scripts:
 *
 *   replay FIXTURES     prints its port; then takes lines of "FIRST CALLS EVENTS" and floods those,
 *                       and prints "done" when the last frame has gone to the kernel. With 0 EVENTS
 *                       it is one StasisStart, and the answer its moment in us of CLOCK_MONOTONIC.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ari_source.h"

int main(int argc, char **argv)
{
	struct ari_source *source = ari_source_start(argc > 1 ? argv[1] : "tests/fixtures/ari");
	char line[128];

	printf("%d\n", ari_source_port(source));
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		char *at = line;
		unsigned first = (unsigned)strtoul(at, &at, 10);
		unsigned calls = (unsigned)strtoul(at, &at, 10);

		unsigned events = (unsigned)strtoul(at, &at, 10);

		if (events) {
			ari_source_flood(source, first, calls, events);
			ari_source_join(source);
			(void)puts("done");
		} else {
			printf("%llu\n", (unsigned long long)ari_source_call(source, first));
		}
		(void)fflush(stdout);
	}
	return 0;
}
