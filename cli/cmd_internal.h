/* SPDX-License-Identifier: MIT */
/* What the commands share for reading JSON and printing. */
#ifndef VOXBUS_CLI_CMD_INTERNAL_H
#define VOXBUS_CLI_CMD_INTERNAL_H

#include <cJSON.h>

#include "cli.h"

struct table;

/* "" and 0 for what is not there or of another type. */
const char *json_text(const cJSON *object, const char *key);
double json_number(const cJSON *object, const char *key);
/* Finds the daemon and fetches: 0 and *ret_json (cJSON_Delete), or < 0 with the complaint made. */
int fetch_json(struct cli *cli, const char *target, int also, struct fetched *ret,
	       cJSON **ret_json);
/* Prints and destroys. */
int print_table(const struct cli *cli, struct table *table);
/* Without control characters. */
void print_clean(const char *text);
/* The answer as it came. */
void print_body(const struct fetched *f);

#endif
