/* SPDX-License-Identifier: MIT */
/*
 * Scalars between text and memory: reading, the words of "must be ...", writing.
 *
 * This is the one place that knows what the types look like; reading a file, filling defaults,
 * printing and the manual all come here.
 */
#include "config/config_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { QUOTED_MAX = 60 };

static const struct unit {
	struct str name;
	uint64_t n;
} sizes[] = {
	{ STR_INIT("TiB"), 1ull << 40 },
	{ STR_INIT("GiB"), 1 << 30 },
	{ STR_INIT("MiB"), 1 << 20 },
	{ STR_INIT("KiB"), 1 << 10 },
	{ STR_INIT(""), 1 },
}, durations[] = {
	{ STR_INIT("d"), 86400000 }, { STR_INIT("h"), 3600000 }, { STR_INIT("m"), 60000 },
	{ STR_INIT("s"), 1000 },     { STR_INIT("ms"), 1 },
};

uint64_t value_max(const struct conf_key *key)
{
	if (key->max)
		return key->max;
	switch (key->type) {
	case CONF_STRING:
	case CONF_SECRET:
		return CONF_STRING_MAX;
	case CONF_STRINGS:
	case CONF_TABLES:
	case CONF_VARIANTS:
		return CONF_ITEMS_MAX;
	default:
		return UINT64_MAX;
	}
}

static int bool_read(struct str text, bool *ret)
{
	static const struct {
		struct str word;
		bool value;
	} words[] = {
		{ STR_INIT("yes"), true }, { STR_INIT("on"), true },   { STR_INIT("true"), true },
		{ STR_INIT("no"), false }, { STR_INIT("off"), false }, { STR_INIT("false"), false },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (str_eq(text, words[i].word)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

static int size_read(struct str text, uint64_t *ret)
{
	uint64_t v;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int rc;

		if (!str_ends(text, sizes[i].name))
			continue;
		rc = str_u64(str_make(text.p, text.n - sizes[i].name.n), &v);
		if (rc < 0)
			return rc;
		if (v > UINT64_MAX / sizes[i].n)
			return -ERANGE;
		*ret = v * sizes[i].n;
		return 0;
	}
	return -EINVAL;
}

static bool is_duration(const struct conf_key *key)
{
	return key->type == CONF_DURATION || key->type == CONF_DURATIONS;
}

static int number_read(const struct conf_key *key, struct str text, uint64_t *ret)
{
	uint64_t v = 0;
	int rc;

	if (key->type == CONF_SIZE)
		rc = size_read(text, &v);
	else if (is_duration(key))
		rc = str_duration_ms(text, &v);
	else
		rc = str_u64(text, &v);
	if (rc < 0)
		return rc;
	if (v < key->min || v > value_max(key))
		return -ERANGE;
	*ret = v;
	return 0;
}

static int enum_read(const struct conf_word *words, struct str text, int *ret)
{
	for (; words->word; words++) {
		if (str_eq(text, str_from(words->word))) {
			*ret = words->value;
			return 0;
		}
	}
	return -EINVAL;
}

bool value_fits(const struct conf_key *key, struct str text)
{
	/* Of a list, min and max count the items. */
	if (key->type == CONF_STRINGS)
		return text.n > 0 && text.n <= CONF_STRING_MAX && (!key->valid || key->valid(text));
	return text.n >= key->min && text.n <= value_max(key) && (!key->valid || key->valid(text));
}

static int string_read(const struct conf_key *key, struct str text, char **ret)
{
	char *copy;

	if (!value_fits(key, text))
		return -EINVAL;
	copy = str_dup(text);
	if (!copy)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

int value_set(const struct conf_key *key, struct str text, void *at)
{
	switch (key->type) {
	case CONF_BOOL:
		return bool_read(text, at);
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		return number_read(key, text, at);
	case CONF_STRING:
		return string_read(key, text, at);
	case CONF_SECRET:
		return value_fits(key, text) ? secret_set(at, text) : -EINVAL;
	case CONF_ENUM:
		return enum_read(key->words, text, at);
	default:
		return -EINVAL;
	}
}

int value_add(const struct conf_key *key, struct str text, struct conf_strings *list)
{
	char **items, *copy = NULL;
	int rc = string_read(key, text, &copy);

	if (rc < 0)
		return rc;
	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (!items) {
		free(copy);
		return -ENOMEM;
	}
	list->items = items;
	items[list->count++] = copy;
	return 0;
}

static void units_format(const struct unit *units, size_t n, uint64_t v, bool mixed,
			 struct buf *out)
{
	for (size_t i = 0; i < n && v; i++) {
		uint64_t whole = v / units[i].n;

		if (!whole || (!mixed && v % units[i].n))
			continue;
		(void)buf_addf(out, "%" PRIu64 "%.*s", whole, STR_ARG(units[i].name));
		v %= units[i].n;
	}
}

static void number_format(const struct conf_key *key, uint64_t v, struct buf *out)
{
	if (key->type == CONF_U64 || !v)
		(void)buf_addf(out, "%" PRIu64 "%s", v, is_duration(key) ? "s" : "");
	else if (key->type == CONF_SIZE)
		units_format(sizes, sizeof(sizes) / sizeof(*sizes), v, false, out);
	else if (v < 60000 && v % 1000)
		(void)buf_addf(out, "%" PRIu64 "ms", v);
	else
		units_format(durations, sizeof(durations) / sizeof(*durations), v, true, out);
}

int value_add_duration(const struct conf_key *key, const char *name, struct str text,
		       struct conf_durations *list)
{
	struct conf_duration *items, one = { 0 };
	int rc = number_read(key, text, &one.ms);

	if (rc < 0)
		return rc;
	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (items)
		list->items = items;
	one.name = items ? strdup(name) : NULL;
	if (!one.name)
		return -ENOMEM;
	items[list->count++] = one;
	return 0;
}

void duration_format(const struct conf_key *key, uint64_t ms, struct buf *out)
{
	number_format(key, ms, out);
}

static const char *number_example(enum conf_type type)
{
	return type == CONF_SIZE  ? "a size like 64MiB"
	       : type == CONF_U64 ? "a number"
				  : "a duration like 15s";
}

static void number_allowed(const struct conf_key *key, struct buf *out)
{
	uint64_t min = key->min, max = key->max;

	if (!max) {
		(void)buf_addf(out, "%s", number_example(key->type));
		if (min) {
			(void)buf_addf(out, " of at least ");
			number_format(key, min, out);
		}
	} else if (is_duration(key) && min % 1000 == 0 && max % 1000 == 0 && max <= 600000) {
		(void)buf_addf(out, "%" PRIu64 " to %" PRIu64 " seconds", min / 1000, max / 1000);
	} else {
		number_format(key, min, out);
		(void)buf_addf(out, " to ");
		number_format(key, max, out);
	}
}

static void string_allowed(const struct conf_key *key, struct buf *out)
{
	if (key->must)
		(void)buf_addf(out, "%s", key->must);
	else if (key->type == CONF_STRINGS)
		(void)buf_addf(out, "a text of 1 to %d bytes", CONF_STRING_MAX);
	else
		(void)buf_addf(out, "a text of %" PRIu64 " to %" PRIu64 " bytes", key->min,
			       value_max(key));
}

static void words_allowed(const struct conf_word *words, struct buf *out)
{
	for (const struct conf_word *w = words; w->word; w++)
		(void)buf_addf(out, "%s%s", w == words ? "" : w[1].word ? ", " : " or ", w->word);
}

void value_allowed(const struct conf_key *key, struct buf *out)
{
	switch (key->type) {
	case CONF_BOOL:
		(void)buf_addf(out, "yes, no, on, off, true or false");
		return;
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_DURATIONS:
		number_allowed(key, out);
		return;
	case CONF_ENUM:
		words_allowed(key->words, out);
		return;
	case CONF_STRING:
	case CONF_SECRET:
	case CONF_STRINGS:
		string_allowed(key, out);
		return;
	case CONF_TABLE:
		(void)buf_addf(out, "keys with values");
		return;
	case CONF_TABLES:
	case CONF_VARIANTS:
		(void)buf_addf(out, "a list of mappings");
		return;
	}
}

static const char *word_of(const struct conf_word *words, int value)
{
	while (words->word && words->value != value)
		words++;
	return words->word ? words->word : "";
}

bool value_format(const struct conf_key *key, const void *at, struct buf *out)
{
	const char *text;

	switch (key->type) {
	case CONF_BOOL:
		(void)buf_addf(out, "%s", *(const bool *)at ? "yes" : "no");
		return true;
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		number_format(key, *(const uint64_t *)at, out);
		return true;
	case CONF_ENUM:
		(void)buf_addf(out, "%s", word_of(key->words, *(const int *)at));
		return true;
	case CONF_STRING:
		text = *(char *const *)at;
		value_mask(str_from(text), out);
		return text != NULL;
	case CONF_SECRET:
		(void)buf_addf(out, SECRET_SHOWN);
		return ((const struct secret *)at)->value != NULL;
	default:
		return false;
	}
}

/* The length of "scheme://" at the beginning (RFC 3986 section 3.1); text.n when it is no URL. */
static size_t scheme_length(struct str text)
{
	size_t n = str_find_str(text, STR("://"));

	for (size_t i = 0; i < n && n < text.n; i++) {
		char low = (char)(text.p[i] | 0x20);
		bool letter = low >= 'a' && low <= 'z';

		if (!letter && (i == 0 || !strchr("0123456789+.-", text.p[i])))
			return text.n;
	}
	return n < text.n ? n + 3 : n;
}

void value_mask(struct str text, struct buf *out)
{
	size_t user = scheme_length(text), at = text.n, colon;

	for (size_t i = user; i < text.n && text.p[i] != '/'; i++)
		at = text.p[i] == '@' ? i : at;
	colon = user < text.n ? user + str_find(str_skip(text, user), ':') : text.n;
	if (at == text.n || user >= text.n) {
		(void)buf_add(out, text);
		return;
	}
	/* A user without a password may be a token. */
	(void)buf_add(out, str_make(text.p, colon < at ? colon + 1 : user));
	(void)buf_addf(out, SECRET_SHOWN);
	(void)buf_add(out, str_skip(text, at));
}

static bool looks_like_a_number(struct str s)
{
	if (!s.n || *s.p < '0' || *s.p > '9' || s.n > 24)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char low = (char)(s.p[i] | 0x20);

		if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(low >= 'a' && low <= 'z'))
			return false;
	}
	return true;
}

void value_quote(struct str text, struct buf *out)
{
	auto_buf struct buf shown;
	struct str s;
	size_t n;

	buf_init(&shown, CONF_TEXT_MAX);
	if (looks_like_a_number(text)) {
		(void)buf_add(out, text);
		return;
	}
	value_mask(text, &shown);
	s = buf_str(&shown);
	n = s.n > QUOTED_MAX ? QUOTED_MAX : s.n;
	while (s.p && n < s.n && n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	(void)buf_addc(out, '"');
	for (size_t i = 0; s.p && i < n; i++)
		(void)buf_addc(out, (unsigned char)s.p[i] < ' ' || s.p[i] == 127 ? ' ' : s.p[i]);
	(void)buf_addf(out, "%s\"", n < s.n ? "..." : "");
}
