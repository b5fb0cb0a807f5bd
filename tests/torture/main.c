/* SPDX-License-Identifier: MIT */
/* The torture of the journal: its parts, its options, and the count at the end. */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "torture.h"

enum { CUTS = 200, QUEUE_CUTS = 50, COMPLAINTS_SHOWN = 20 };

bool verbose;
unsigned complaints;
char where[160];

bool complain(const char *format, ...)
{
	va_list ap;

	if (disk.sabotage && !verbose) {
		complaints++;
		return false;
	}
	if (complaints++ >= COMPLAINTS_SHOWN)
		return false;
	printf("BROKEN (%s): ", where);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	return false;
}

static const char usage[] = "torture [--seed N] [--cuts N] [--all-bits] [--verbose] "
			    "[cuts|queues|flips|faults|short|sabotage]...\n";

static bool wanted(int argc, char **argv, const char *part)
{
	for (int i = optind; i < argc; i++)
		if (strcmp(argv[i], part) == 0)
			return true;
	return optind == argc;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' },
						 { "cuts", required_argument, NULL, 'c' },
						 { "all-bits", no_argument, NULL, 'a' },
						 { "verbose", no_argument, NULL, 'v' },
						 { 0 } };
	struct tally tally = { 0 };
	uint64_t seed = 1, cuts = CUTS;
	bool all_bits = false, cuts_given = false;
	FILE *log;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		cuts_given |= c == 'c';
		if ((c == 's' && str_u64(str_from(optarg), &seed) == 0) ||
		    (c == 'c' && str_u64(str_from(optarg), &cuts) == 0))
			continue;
		if (c == 'v' || c == 'a') {
			verbose |= c == 'v';
			all_bits |= c == 'a';
			continue;
		}
		(void)fputs(usage, stderr);
		return 2;
	}
	log = verbose ? stderr : fopen("/dev/null", "w");
	log_setup(LOG_INFO, LOG_LOGFMT, log ? log : stderr);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	disk_init(seed);
	printf("seed %" PRIu64 "\n", seed);
	if (wanted(argc, argv, "cuts"))
		torture_cuts(seed, (unsigned)cuts, &tally);
	if (wanted(argc, argv, "queues"))
		torture_queues(seed, (unsigned)(cuts_given ? cuts : QUEUE_CUTS), &tally);
	if (wanted(argc, argv, "flips"))
		torture_flips(seed, all_bits, &tally);
	if (wanted(argc, argv, "faults"))
		torture_faults(seed, &tally);
	if (wanted(argc, argv, "short"))
		torture_short_writes(seed, &tally);
	if (wanted(argc, argv, "sabotage"))
		torture_sabotage(seed, &tally);
	disk_fini();
	model_fini();
	printf("torture: %u passed, %u failed\n", tally.passed, tally.failed);
	return tally.failed ? 1 : 0;
}
