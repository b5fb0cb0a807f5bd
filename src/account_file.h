/* SPDX-License-Identifier: MIT */
/*
 * The account that is made when the configuration names none: <data_dir>/account, mode 0600, two
 * lines that a shell can source (VOXBUS_SID=..., VOXBUS_TOKEN=...).
 */
#ifndef VOXBUS_ACCOUNT_FILE_H
#define VOXBUS_ACCOUNT_FILE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/secret.h"

struct made_account {
	char sid[64];
	struct secret token;
	bool fresh; /* made now, not read */
};

/* Reads the file, or makes it. A refusal's sentence names it. The token is freed by the caller. */
int account_file_load(const char *path, struct made_account *ret, struct err *e);

#endif
