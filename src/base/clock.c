/* SPDX-License-Identifier: MIT */
/* Printing wall-clock time. The broken-down second is cached: events come many a second. */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NS = 1000000000 };

uint64_t clock_wall_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

/* localtime_r reads the time zone under a lock: once a second is enough. One thread at a time. */
static const char *second_text(time_t sec, const char **ret_zone)
{
	static _Thread_local time_t cached = -1;
	static _Thread_local char text[32], zone[8];

	if (sec != cached) {
		struct tm tm;
		long off;

		(void)localtime_r(&sec, &tm);
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		off = tm.tm_gmtoff / 60;
		if (off)
			(void)snprintf(zone, sizeof(zone), "%c%02d:%02d", off < 0 ? '-' : '+',
				       (int)(labs(off) / 60) % 100, (int)(labs(off) % 60));
		else
			(void)snprintf(zone, sizeof(zone), "Z");
		cached = sec;
	}
	*ret_zone = zone;
	return text;
}

void clock_rfc3339(char out[CLOCK_RFC3339_SIZE], uint64_t wall_ns, int digits)
{
	const char *zone, *text = second_text((time_t)(wall_ns / NS), &zone);
	unsigned rest = (unsigned)(wall_ns % NS);
	char fraction[] = ".000000000";
	size_t n = digits ? (size_t)digits : 9, at = strlen(text);

	for (size_t i = 9; i; i--, rest /= 10)
		fraction[i] = (char)('0' + rest % 10);
	while (!digits && n && fraction[n] == '0')
		n--;
	memcpy(out, text, at);
	if (n) {
		memcpy(out + at, fraction, n + 1);
		at += n + 1;
	}
	memcpy(out + at, zone, strlen(zone) + 1);
}

void clock_http_date(char out[CLOCK_HTTP_SIZE], uint64_t wall_ns)
{
	time_t sec = (time_t)(wall_ns / NS);
	struct tm tm;

	(void)gmtime_r(&sec, &tm);
	(void)strftime(out, CLOCK_HTTP_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}
