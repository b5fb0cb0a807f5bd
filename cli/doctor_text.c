/* SPDX-License-Identifier: MIT */
/*
 * What `voxbus doctor` prints:
 *
 *   ok    data-directory        data directory /var/lib/voxbus is writable
 *   FAIL  asterisk-login        engine pbx1: failed for 12 s: Asterisk refuses the user: 401
 *         fix: make username and password of the engine the same as ...
 */
#include "doctor_text.h"

#include "cmd_internal.h"
#include "table.h"

static const struct {
	const char *level, *shown, *colour;
} levels[] = {
	{ "ok", "ok", "\x1b[32m" },
	{ "warn", "WARN", "\x1b[33m" },
	{ "fail", "FAIL", "\x1b[31m" },
};

enum { LEVELS = sizeof(levels) / sizeof(levels[0]) };

/* What an unknown level of a newer daemon counts as: a warning. */
static unsigned level_of(const cJSON *finding)
{
	for (unsigned i = 0; i < LEVELS; i++)
		if (strcmp(json_text(finding, "level"), levels[i].level) == 0)
			return i;
	return 1;
}

static void add_finding(struct buf *out, const cJSON *finding, unsigned level, bool colour)
{
	const char *fix = json_text(finding, "fix");

	(void)buf_addf(out, "%s%-4s%s  ", colour ? levels[level].colour : "", levels[level].shown,
		       colour ? "\x1b[0m" : "");
	(void)buf_addf(out, "%-21.60s ", json_text(finding, "id"));
	(void)text_add_clean(out, str_from(json_text(finding, "what")));
	(void)buf_addc(out, '\n');
	if (!fix[0])
		return;
	(void)buf_add(out, STR("      fix: "));
	(void)text_add_clean(out, str_from(fix));
	(void)buf_addc(out, '\n');
}

unsigned doctor_text(const cJSON *findings, bool colour, struct buf *out)
{
	unsigned counts[LEVELS] = { 0 };
	const cJSON *finding;

	cJSON_ArrayForEach(finding, findings)
	{
		unsigned level = level_of(finding);

		counts[level]++;
		add_finding(out, finding, level, colour);
	}
	(void)buf_addf(out, "%u ok, %u warnings, %u failed\n", counts[0], counts[1], counts[2]);
	return counts[2];
}

/*
 * http:
 *   listen:
 *     - 127.0.0.1:8090
 * The state lies in where the text was cut: behind an address, the next line is another or not.
 */
bool doctor_next_listen(struct str *rest, struct str *ret)
{
	struct str head = STR("\nhttp:\n  listen:\n"), item = STR("    - ");
	size_t at;

	if (!rest->p)
		return false;
	at = str_find_str(*rest, head);
	if (at < rest->n) /* the whole text: --print never begins with http */
		*rest = str_skip(*rest, at + head.n);
	if (!str_starts(*rest, item))
		return false;
	*ret = str_skip(str_cut(rest, '\n'), item.n);
	if (ret->n >= 2 && (ret->p[0] == '"' || ret->p[0] == '\''))
		*ret = str_make(ret->p + 1, ret->n - 2);
	return true;
}
