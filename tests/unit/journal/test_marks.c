/* SPDX-License-Identifier: MIT */
/* Torn or damaged: what a power cut leaves of what was not synced, and what sync marks tell. */
#include "fixture.h"

#include <sys/stat.h>

enum { FILES_MAX = 8 };

/* What is on the disk at a moment. */
struct image {
	size_t n;
	char names[FILES_MAX][FILE_NAME_SIZE];
	char *bytes[FILES_MAX];
	size_t sizes[FILES_MAX];
};

static void image_take(struct image *im, const struct fx *fx)
{
	DIR *dir = opendir(fx->dir);

	im->n = 0;
	for (struct dirent *d; (d = readdir(dir));) {
		if (!strstr(d->d_name, ".vbj") && !strstr(d->d_name, "state.log"))
			continue;
		assert_true(im->n < FILES_MAX);
		(void)snprintf(im->names[im->n], FILE_NAME_SIZE, "%.31s", d->d_name);
		im->bytes[im->n] = fx_slurp(fx, im->names[im->n], &im->sizes[im->n]);
		im->n++;
	}
	(void)closedir(dir);
}

/* The disk is as it was then, with the journal closed. */
static void image_put_back(struct image *im, struct fx *fx)
{
	fx_wipe(fx->dir);
	assert_int_equal(mkdir(fx->dir, 0700), 0);
	for (size_t i = 0; i < im->n; i++) {
		fx_spill(fx, im->names[i], im->bytes[i], im->sizes[i]);
		free(im->bytes[i]);
	}
}

static char *image_at(struct image *im, const char *name, size_t offset)
{
	for (size_t i = 0; i < im->n; i++)
		if (strcmp(im->names[i], name) == 0 && offset < im->sizes[i])
			return im->bytes[i] + offset;
	fail_msg("no %s", name);
	return NULL;
}

static int marks_setup(void **state)
{
	struct fx *fx = malloc(sizeof(*fx));

	fx_init(fx);
	fx->stepped = true;
	fx->o.nosync = false;
	fx->o.segment_bytes = 8192;
	fx_open(fx);
	*state = fx;
	return 0;
}

static void turn(struct fx *fx)
{
	for (int i = 0; i < 5; i++)
		loop_turn(fx->loop);
}

static void write_all(struct fx *fx)
{
	turn(fx);
	(void)journal_step_write(fx->j);
	turn(fx);
}

static void sync_all(struct fx *fx)
{
	write_all(fx);
	(void)journal_step_sync(fx->j);
	turn(fx);
}

/* Closes, with what was on the disk before. */
static void cut_power(struct fx *fx, struct image *im)
{
	fx_close(fx);
	image_put_back(im, fx);
}

static void expect_stream(struct fx *fx, const char *const *bodies)
{
	struct jstream *js = fx_stream(fx, "s");
	size_t n = 0;

	if (bodies[0])
		assert_int_equal(fx_read(fx, js, 1, 100000), 0);
	for (; bodies[n]; n++)
		assert_string_equal(fx->read_body[n], bodies[n]);
	assert_int_equal(bodies[0] ? fx->read_n : 0, n);
}

/* Fills segments 1 and 2 and begins 3; only the first record is synced. */
static void three_segments(struct fx *fx, struct image *im, size_t *ret_tail)
{
	struct jstream *js = fx_stream(fx, "s");
	char body[3000];
	struct str part = { body, sizeof(body) };
	uint64_t lsn;

	memset(body, 'x', sizeof(body));
	(void)fx_append(fx, js, "durable");
	sync_all(fx);
	*ret_tail = fx->j->current->end;
	for (int i = 0; i < 3; i++)
		assert_int_equal(journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn), 0);
	write_all(fx);
	assert_int_equal(fx->j->current->number, 3);
	image_take(im, fx);
}

static void image_drop(struct image *im, const char *name)
{
	char *at = image_at(im, name, 0);

	for (size_t i = 0; i < im->n; i++) {
		if (im->bytes[i] != at)
			continue;
		free(at);
		im->n--;
		memmove(&im->names[i], &im->names[i + 1], (im->n - i) * sizeof(im->names[0]));
		memmove(&im->bytes[i], &im->bytes[i + 1], (im->n - i) * sizeof(im->bytes[0]));
		memmove(&im->sizes[i], &im->sizes[i + 1], (im->n - i) * sizeof(im->sizes[0]));
		return;
	}
}

static void expect_only_durable(struct fx *fx, struct image *im)
{
	cut_power(fx, im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	expect_stream(fx, (const char *[]){ "durable", NULL });
	assert_int_equal(jstream_next(fx_stream(fx, "s")), 2);
}

/* A name is synced before the next one is given: who is missing was not needed any more. */
static void a_gap_in_the_numbers_does_not_end_the_log(void **state)
{
	struct fx *fx = *state;
	struct image im;
	size_t tail;

	three_segments(fx, &im, &tail);
	image_drop(&im, "00000002.vbj");
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_int_equal(fx_stats(fx).torn_bytes, 0);
	assert_int_equal(jstream_next(fx_stream(fx, "s")), 5);
}

static char removals[256];

static int note_unlink(int dirfd, const char *name, int flags)
{
	size_t n = strlen(removals);

	if (strstr(name, ".vbj"))
		(void)snprintf(removals + n, sizeof(removals) - n, "%.8s ", name);
	return journal_sys_real.unlinkat(dirfd, name, flags);
}

static int note_fsync(int fd)
{
	size_t n = strlen(removals);

	(void)snprintf(removals + n, sizeof(removals) - n, "sync ");
	return journal_sys_real.fsync(fd);
}

/* Else a power cut in between would leave a gap with what was torn behind it. */
static void segments_behind_the_end_go_the_last_one_first(void **state)
{
	struct fx *fx = *state;
	struct image im;
	size_t tail;

	three_segments(fx, &im, &tail);
	memset(image_at(&im, "00000001.vbj", tail), 0, 8192 - tail);
	cut_power(fx, &im);
	removals[0] = 0;
	fx->sys.unlinkat = note_unlink;
	fx->sys.fsync = note_fsync;
	fx_open(fx);
	assert_non_null(strstr(removals, "00000003 sync 00000002 sync "));
	assert_int_equal(jstream_next(fx_stream(fx, "s")), 2);
}

static void an_empty_file_behind_a_torn_segment_makes_no_damage_of_it(void **state)
{
	struct fx *fx = *state;
	struct image im;
	size_t tail;

	three_segments(fx, &im, &tail);
	image_drop(&im, "00000003.vbj");
	memset(image_at(&im, "00000002.vbj", 0), 0, 8192);
	memset(image_at(&im, "00000001.vbj", tail + 512), 0, 512);
	expect_only_durable(fx, &im);
	assert_true(fx_stats(fx).torn_bytes > 0);
}

static void a_header_torn_before_its_sync_is_made_whole(void **state)
{
	struct fx *fx = *state;
	struct image im;

	(void)fx_append(fx, fx_stream(fx, "s"), "durable");
	write_all(fx);
	image_take(&im, fx);
	memset(image_at(&im, "00000001.vbj", 0), 0, 512);
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	expect_stream(fx, (const char *[]){ "durable", NULL });
	sync_all(fx);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	expect_stream(fx, (const char *[]){ "durable", NULL });
}

static void what_follows_an_unsynced_hole_is_cut(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");
	struct image im;
	size_t at;

	(void)fx_append(fx, js, "durable");
	sync_all(fx);
	at = fx->j->current->end;
	(void)fx_append(fx, js, "lost in the cut");
	(void)fx_append(fx, js, "reached the disk before it");
	write_all(fx);
	image_take(&im, fx);
	memset(image_at(&im, "00000001.vbj", at), 0, 64);
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_true(fx_stats(fx).torn_bytes > 0);
	expect_stream(fx, (const char *[]){ "durable", NULL });
	(void)fx_append(fx, fx_stream(fx, "s"), "new");
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
	expect_stream(fx, (const char *[]){ "durable", "new", NULL });
}

static void a_hole_in_what_a_mark_covers_is_damage(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");
	struct image im;
	size_t at;

	(void)fx_append(fx, js, "one");
	at = fx->j->current->end;
	(void)fx_append(fx, js, "two");
	(void)fx_append(fx, js, "three");
	sync_all(fx);
	(void)fx_append(fx, js, "four, with the mark behind it");
	write_all(fx);
	image_take(&im, fx);
	*image_at(&im, "00000001.vbj", at + RECORD_HEADER) ^= 1;
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 1);
	assert_int_equal(fx_stats(fx).torn_bytes, 0);
	expect_stream(fx,
		      (const char *[]){ "one", "three", "four, with the mark behind it", NULL });
}

static void a_pause_is_marked_once(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");
	struct image im;
	uint64_t writes;
	size_t at;

	(void)fx_append(fx, js, "one");
	at = fx->j->current->end;
	(void)fx_append(fx, js, "two");
	sync_all(fx);
	writes = fx_stats(fx).writes;
	for (int i = 0; i < 20; i++) {
		loop_test_advance(fx->loop, 300);
		sync_all(fx);
	}
	assert_int_equal(fx_stats(fx).writes, writes + 1);
	image_take(&im, fx);
	*image_at(&im, "00000001.vbj", at) ^= 1;
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 1);
}

static void a_clean_close_marks_all(void **state)
{
	struct fx *fx = *state;
	struct image im;
	size_t at;

	(void)fx_append(fx, fx_stream(fx, "s"), "one");
	at = fx->j->current->end;
	(void)fx_append(fx, fx_stream(fx, "s"), "two");
	fx_close(fx);
	image_take(&im, fx);
	*image_at(&im, "00000001.vbj", at) ^= 1;
	image_put_back(&im, fx);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 1);
	assert_int_equal(fx_stats(fx).torn_bytes, 0);
	expect_stream(fx, (const char *[]){ "one", NULL });
}

/* Appends until a second segment is written, all of it after the first sync. */
static size_t fill_two_segments(struct fx *fx)
{
	struct jstream *js = fx_stream(fx, "s");
	size_t at;

	(void)fx_append(fx, js, "durable");
	sync_all(fx);
	at = fx->j->current->end;
	while (fx->j->current->number < 3)
		(void)fx_append(fx, js, "not synced");
	write_all(fx);
	return at;
}

static void a_torn_log_ends_in_all_its_segments(void **state)
{
	struct fx *fx = *state;
	struct image im;
	size_t at = fill_two_segments(fx);

	image_take(&im, fx);
	memset(image_at(&im, "00000001.vbj", at), 0, 8192 - at);
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_true(fx_stats(fx).torn_bytes > 0);
	assert_int_equal(fx_stats(fx).segments, 1);
	expect_stream(fx, (const char *[]){ "durable", NULL });
}

static void a_torn_header_ends_the_log(void **state)
{
	struct fx *fx = *state;
	struct image im;
	uint64_t next;

	(void)fill_two_segments(fx);
	image_take(&im, fx);
	memset(image_at(&im, "00000002.vbj", 0), 0, FILE_HEADER);
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_int_equal(fx_stats(fx).segments, 1);
	next = jstream_next(fx_stream(fx, "s"));
	(void)fx_append(fx, fx_stream(fx, "s"), "goes on");
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_int_equal(jstream_next(fx_stream(fx, "s")), next + 1);
}

static void a_lost_header_of_a_synced_segment_is_damage(void **state)
{
	struct fx *fx = *state;
	struct image im;

	(void)fill_two_segments(fx);
	sync_all(fx);
	(void)fx_append(fx, fx_stream(fx, "s"), "with the mark behind it");
	write_all(fx);
	image_take(&im, fx);
	memset(image_at(&im, "00000002.vbj", 0), 1, FILE_HEADER);
	cut_power(fx, &im);
	fx_open(fx);
	assert_true(fx_stats(fx).damaged > 0);
	assert_int_equal(fx_stats(fx).segments, 2);
	assert_int_equal(fx_stats(fx).torn_bytes, 0);
}

static void on_state(void *arg, struct str key, struct str value)
{
	(*(size_t *)arg)++;
}

static size_t count_states(struct fx *fx)
{
	size_t n = 0;

	journal_each_state(fx->j, STR(""), on_state, &n);
	return n;
}

static void put(struct fx *fx, const char *key)
{
	uint64_t lsn;

	assert_int_equal(journal_put(fx->j, str_from(key), STR("value"), &lsn), 0);
}

static void states_end_where_they_are_torn(void **state)
{
	struct fx *fx = *state;
	struct image im;
	size_t record = record_size(2 + 1 + 5), at = FILE_HEADER + record_size(8);

	put(fx, "a");
	sync_all(fx);
	put(fx, "b");
	put(fx, "c");
	write_all(fx);
	image_take(&im, fx);
	memset(image_at(&im, "state.log", at + record), 0, 16);
	cut_power(fx, &im);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_true(fx_stats(fx).torn_bytes > 0);
	assert_int_equal(count_states(fx), 1);
}

static void states_that_were_synced_are_damaged_alone(void **state)
{
	struct fx *fx = *state;
	size_t record = record_size(2 + 1 + 5), at = FILE_HEADER + record_size(8);

	for (int snapshot = 0; snapshot < 2; snapshot++) {
		struct image im;

		put(fx, "a");
		put(fx, "b");
		put(fx, "c");
		if (snapshot)
			fx_reopen(fx);
		sync_all(fx);
		put(fx, snapshot ? "e" : "d"); /* and the mark behind it */
		write_all(fx);
		image_take(&im, fx);
		memset(image_at(&im, "state.log", snapshot ? FILE_HEADER : at + record), 0, 16);
		cut_power(fx, &im);
		fx_open(fx);
		assert_int_equal(fx_stats(fx).damaged, 1);
		assert_int_equal(count_states(fx), 3 + snapshot);
	}
}

static void a_segment_is_kept_until_a_mark_covers_it(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");
	struct image im;

	while (!fx->j->current || fx->j->current->number < 2)
		(void)fx_append(fx, js, "soon trimmed");
	sync_all(fx);
	assert_int_equal(jstream_trim(fx->j, js, jstream_next(js)), 0);
	(void)fx_append(fx, js, "durable");
	sync_all(fx);
	for (int i = 0; i < 3; i++) {
		(void)fx_append(fx, js, "not synced");
		sync_all(fx);
		loop_test_advance(fx->loop, 50);
	}
	assert_int_equal(fx_stats(fx).segments, 1);
	image_take(&im, fx);
	cut_power(fx, &im);
	fx_open(fx);
	js = fx_stream(fx, "s");
	assert_int_equal(jstream_next(js) - jstream_first(js), 4);
	assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
}

static void copy_fixture(struct fx *fx, const char *name, char **ret, size_t *ret_n)
{
	char path[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/journal/unmarked/%s", FIXTURES, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	*ret = calloc(1, 16384);
	*ret_n = fread(*ret, 1, 16384, f);
	(void)fclose(f);
	fx_spill(fx, name, *ret, *ret_n);
}

/* A log of the time before there were marks: 60 records each in two streams, and a state. */
static void a_journal_without_marks_is_read(void **state)
{
	struct fx *fx = *state;
	char *one, *two, *states;
	size_t n, m, k;

	fx_close(fx);
	fx_wipe(fx->dir);
	assert_int_equal(mkdir(fx->dir, 0700), 0);
	copy_fixture(fx, "00000001.vbj", &one, &n);
	copy_fixture(fx, "00000002.vbj", &two, &m);
	copy_fixture(fx, "state.log", &states, &k);
	fx_open(fx);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
		assert_int_equal(jstream_first(fx_stream(fx, "alpha")), 1);
		assert_int_equal(jstream_next(fx_stream(fx, "alpha")), 61);
		assert_int_equal(jstream_first(fx_stream(fx, "beta")), 31);
		assert_int_equal(fx_read(fx, fx_stream(fx, "alpha"), 60, 1000), 0);
		assert_string_equal(fx->read_body[0], "alpha 60");
		assert_int_equal(count_states(fx), 1);
		fx_reopen(fx);
	}
	/* There a hole says nothing of syncs: what follows is kept. */
	fx_close(fx);
	one[FILE_HEADER + 400] ^= 1;
	fx_wipe(fx->dir);
	assert_int_equal(mkdir(fx->dir, 0700), 0);
	fx_spill(fx, "00000001.vbj", one, n);
	fx_spill(fx, "00000002.vbj", two, m);
	fx_spill(fx, "state.log", states, k);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 1);
	assert_int_equal(jstream_next(fx_stream(fx, "alpha")), 61);
	free(one);
	free(two);
	free(states);
}

#define MARKS_TEST(fn) cmocka_unit_test_setup_teardown(fn, marks_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MARKS_TEST(what_follows_an_unsynced_hole_is_cut),
		MARKS_TEST(a_gap_in_the_numbers_does_not_end_the_log),
		MARKS_TEST(segments_behind_the_end_go_the_last_one_first),
		MARKS_TEST(an_empty_file_behind_a_torn_segment_makes_no_damage_of_it),
		MARKS_TEST(a_header_torn_before_its_sync_is_made_whole),
		MARKS_TEST(a_hole_in_what_a_mark_covers_is_damage),
		MARKS_TEST(a_pause_is_marked_once),
		MARKS_TEST(a_clean_close_marks_all),
		MARKS_TEST(a_torn_log_ends_in_all_its_segments),
		MARKS_TEST(a_torn_header_ends_the_log),
		MARKS_TEST(a_lost_header_of_a_synced_segment_is_damage),
		MARKS_TEST(states_end_where_they_are_torn),
		MARKS_TEST(states_that_were_synced_are_damaged_alone),
		MARKS_TEST(a_segment_is_kept_until_a_mark_covers_it),
		MARKS_TEST(a_journal_without_marks_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
