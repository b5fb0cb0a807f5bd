/* SPDX-License-Identifier: MIT */
/* What all commands say in the same way: complaints and durations. */
#include "cli.h"

#include <stdio.h>

int cli_complain(const struct err *e)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "voxbus: %s\n", e->text);
	return CLI_TROUBLE;
}

const char *cli_duration(char out[32], double seconds)
{
	unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;

	if (s < 60)
		(void)snprintf(out, 32, "%lu s", s);
	else if (s < 3600)
		(void)snprintf(out, 32, "%lu min", s / 60);
	else if (s < 86400)
		(void)snprintf(out, 32, "%lu h %lu min", s / 3600, s / 60 % 60);
	else
		(void)snprintf(out, 32, "%lu d %lu h", s / 86400, s / 3600 % 24);
	return out;
}
