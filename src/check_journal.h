/* SPDX-License-Identifier: MIT */
/* `voxbusd --check-journal`: what is wrong with a journal, for a person to read. */
#ifndef VOXBUS_CHECK_JOURNAL_H
#define VOXBUS_CHECK_JOURNAL_H

#include <stdio.h>

/* What it returns, and voxbusd after it. */
enum { CHECK_SOUND, CHECK_DAMAGED, CHECK_IMPOSSIBLE };

/*
 * Checks the journal in dir (or in dir/journal) without changing it: a line on out for each thing
 * found, then what there is in all; on standard error why it can't be checked.
 */
int check_journal(const char *dir, FILE *out);

#endif
