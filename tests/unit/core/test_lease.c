/* SPDX-License-Identifier: MIT */
/*
 * Leases: the table in its file, and what a restart knows by it.
 *
 * A life is a process with a loop, a journal, leases and one stream with a leased cursor. It ends by
 * SIGKILL where its test says so, so that the next one finds what a killed voxbusd leaves behind.
 * The clock of a life stands still: no trim is written unless the life lets 20 ms go by.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/cursor.h"
#include "core/lease.h"
#include "core_test.h"

enum { HEADER = 4096, SLOT = 32, FILE_BYTES = HEADER + LEASES_MAX * SLOT };

/* ---- the table alone */

static struct leases *table_open(const char *path)
{
	struct leases *l = NULL;
	struct err e;

	if (leases_open(path, NULL, &l, &e) < 0)
		fail_msg("%s", e.text);
	return l;
}

static struct lease_key key_of(uint64_t seq)
{
	return (struct lease_key){ .stream = lease_stream(STR("s")), .seq = seq, .wall_ns = 1000 };
}

static void table_path(char dir[64], char path[80])
{
	dir_make(dir);
	(void)snprintf(path, 80, "%s/leases", dir);
}

static void copy_file(const char *from, const char *to)
{
	static char bytes[FILE_BYTES];
	int in = open(from, O_RDONLY), out = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(read(in, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(write(out, bytes, sizeof(bytes)), sizeof(bytes));
	(void)close(in);
	(void)close(out);
}

static void what_was_left_is_recalled_once(void **state)
{
	const struct lease_key held = key_of(1), settled = key_of(2), freed = key_of(3);
	enum lease_state was;
	unsigned returns;
	char dir[64], path[80];
	struct leases_stats stats;

	table_path(dir, path);
	struct leases *l = table_open(path);
	assert_int_not_equal(lease_take(l, &held, 3), 0);
	lease_settle(l, lease_take(l, &settled, 1));
	lease_free(l, lease_take(l, &freed, 0));
	assert_int_equal(lease_recall(l, &held, &was, &returns), 0); /* its holder is here */
	(void)leases_close(l);

	l = table_open(path);
	leases_stats(l, &stats);
	assert_int_equal(stats.left, 2);
	assert_int_not_equal(lease_recall(l, &held, &was, &returns), 0);
	assert_int_equal(was, LEASE_HELD);
	assert_int_equal(returns, 3);
	assert_int_equal(lease_recall(l, &held, &was, &returns), 0);
	assert_int_not_equal(lease_recall(l, &settled, &was, &returns), 0);
	assert_int_equal(was, LEASE_SETTLED);
	assert_int_equal(lease_recall(l, &freed, &was, &returns), 0);
	(void)leases_close(l);
	dir_remove(dir);
}

static void a_lease_of_another_message_with_that_number_means_nothing(void **state)
{
	struct lease_key key = key_of(1);
	enum lease_state was;
	unsigned returns;
	char dir[64], path[80];
	struct leases_stats stats;

	table_path(dir, path);
	struct leases *l = table_open(path);
	lease_settle(l, lease_take(l, &key, 0));
	(void)leases_close(l);
	l = table_open(path);
	key.wall_ns++;
	assert_int_equal(lease_recall(l, &key, &was, &returns), 0);
	leases_stats(l, &stats);
	assert_int_equal(stats.used, 0);
	(void)leases_close(l);
	dir_remove(dir);
}

static void a_full_table_is_counted_and_has_room_again(void **state)
{
	char dir[64], path[80];
	struct leases_stats stats;

	table_path(dir, path);
	struct leases *l = table_open(path);
	for (uint64_t i = 1; i <= LEASES_MAX; i++) {
		const struct lease_key key = key_of(i);

		assert_int_not_equal(lease_take(l, &key, 0), 0);
	}
	const struct lease_key more = key_of(LEASES_MAX + 1);
	assert_int_equal(lease_take(l, &more, 0), 0);
	leases_stats(l, &stats);
	assert_int_equal(stats.refused, 1);
	assert_int_equal(stats.used, LEASES_MAX);
	lease_free(l, 7);
	assert_int_equal(lease_take(l, &more, 0), 7);
	(void)leases_close(l);
	/* All of them are found, each by itself. */
	l = table_open(path);
	for (uint64_t i = LEASES_MAX + 1; i > 0; i--) {
		const struct lease_key key = key_of(i);
		enum lease_state was;
		unsigned returns;

		assert_int_equal(lease_recall(l, &key, &was, &returns) != 0, i != 7);
	}
	(void)leases_close(l);
	dir_remove(dir);
}

static void half_a_slot_is_free(void **state)
{
	const struct lease_key key = key_of(1);
	struct leases_stats stats;
	char dir[64], path[80];

	table_path(dir, path);
	struct leases *l = table_open(path);
	(void)lease_take(l, &key, 0);
	(void)leases_close(l);
	/* Each byte of it in turn: its file begins with a page of header. */
	for (off_t at = HEADER; at < HEADER + SLOT; at++) {
		int fd = open(path, O_RDWR);
		char byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		/* Opening frees it: another copy is looked at each time. */
		char copy[96];
		(void)snprintf(copy, sizeof(copy), "%s/copy", dir);
		copy_file(path, copy);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		(void)close(fd);
		l = table_open(copy);
		leases_stats(l, &stats);
		assert_int_equal(stats.left, 0);
		(void)leases_close(l);
	}
	l = table_open(path);
	leases_stats(l, &stats);
	assert_int_equal(stats.left, 1);
	(void)leases_close(l);
	dir_remove(dir);
}

static void what_is_no_lease_file_is_replaced(void **state)
{
	static const struct {
		const char *what;
		off_t size;
	} cases[] = {
		{ "shorter", 100 },
		{ "longer", FILE_BYTES + 1 },
		{ "of the right size, with another magic", FILE_BYTES },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct lease_key key = key_of(1);
		char dir[64], path[80];
		struct leases_stats stats;
		struct stat st;

		table_path(dir, path);
		int fd = open(path, O_RDWR | O_CREAT, 0600);
		assert_int_equal(ftruncate(fd, cases[i].size), 0);
		assert_int_equal(pwrite(fd, "nonsense", 8, 0), 8);
		(void)close(fd);
		struct leases *l = table_open(path);
		assert_int_not_equal(lease_take(l, &key, 0), 0);
		(void)leases_close(l);
		l = table_open(path);
		leases_stats(l, &stats);
		assert_int_equal(stats.left, 1);
		(void)leases_close(l);
		/* All blocks are there. */
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, FILE_BYTES);
		assert_true(st.st_blocks * 512 >= st.st_size);
		dir_remove(dir);
	}
}

static void a_path_that_is_no_file_is_a_sentence(void **state)
{
	struct leases *l;
	char dir[64];
	struct err e;

	dir_make(dir);
	assert_int_equal(leases_open(dir, NULL, &l, &e), -EISDIR);
	assert_non_null(strstr(e.text, dir));
	assert_int_equal(leases_open("/no/such/place", NULL, &l, &e), -ENOENT);
	dir_remove(dir);
}

/* ---- lives */

struct life {
	struct loop *loop;
	struct journal *journal;
	struct streams *streams;
	struct leases *leases;
	struct stream *stream;
	struct cursor *cursor;
};

/* In a life nothing may jump back into the test: it says what is wrong and ends. */
#define check(condition)                                                              \
	do {                                                                          \
		if (!(condition)) {                                                   \
			(void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			_exit(1);                                                     \
		}                                                                     \
	} while (0)

static void on_ready(void *arg)
{
}

static void open_cursor(struct life *l)
{
	check(cursor_create(l->stream, CURSOR_REQUIRED | CURSOR_LEASED, 100, on_ready, l,
			    &l->cursor) == 0);
}

static void life_begin(struct life *l, const char *dir)
{
	struct journal_options options = { .segment_bytes = 1 << 20 };
	struct journal_events events;
	char path[96];
	struct err e;

	check(loop_create_manual(&l->loop) == 0);
	check(streams_create(l->loop, NULL, NULL, &l->streams) == 0);
	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	options.dir = path;
	streams_journal_events(l->streams, &events);
	check(journal_open(l->loop, &options, NULL, &events, &l->journal, &e) == 0);
	check(streams_set_journal(l->streams, l->journal) == 0);
	(void)snprintf(path, sizeof(path), "%s/leases", dir);
	check(leases_open(path, NULL, &l->leases, &e) == 0);
	check(streams_set_leases(l->streams, l->leases) == 0);
	l->stream = stream_open(l->streams, STR("queue"), STREAM_RECORD);
	check(l->stream);
	open_cursor(l);
}

static void life_end(struct life *l)
{
	l->cursor = cursor_destroy(l->cursor);
	(void)stream_unref(l->stream);
	(void)journal_close(l->journal);
	(void)streams_destroy(l->streams);
	(void)leases_close(l->leases);
	(void)loop_destroy(l->loop);
}

static void turn(struct life *l)
{
	loop_turn(l->loop);
	(void)usleep(100);
}

/* What is appended is written when it returns. */
static void append(struct life *l, int n)
{
	while (n--) {
		struct msg init = { .kind = MSG_DOCUMENT,
				    .seq = stream_next(l->stream),
				    .wall_ns = clock_wall_ns(),
				    .payload = blob_create(STR("{}")) };
		struct msg *m = msg_create(&init);

		check(m && stream_append(l->stream, m, NULL, NULL) == 0);
		(void)blob_unref(init.payload);
		(void)msg_unref(m);
	}
	for (int i = 0; i < 50000 && stream_visible(l->stream) < stream_next(l->stream); i++)
		turn(l);
	check(stream_visible(l->stream) == stream_next(l->stream));
}

/* The number of the next message, or 0 after so many turns. */
static uint64_t take(struct life *l, int turns)
{
	struct msg *m;
	uint64_t seq;

	while (!cursor_take(l->cursor, &m)) {
		if (!turns--)
			return 0;
		turn(l);
	}
	seq = m->seq;
	(void)msg_unref(m);
	return seq;
}

/* The next one is `seq`, and was given back so often; 0: there is none. */
static void check_take(struct life *l, uint64_t seq, unsigned returns)
{
	uint64_t got = take(l, seq ? 50000 : 200);

	if (got != seq)
		(void)fprintf(stderr, "took %d, not %d\n", (int)got, (int)seq);
	check(got == seq);
	if (seq)
		check(cursor_returns(l->cursor, seq) == returns);
}

static uint64_t leases_used(const struct life *l)
{
	struct leases_stats stats;

	leases_stats(l->leases, &stats);
	return stats.used;
}

/* Runs a life in a process of its own, to its bitter end. */
static void live(const char *dir, void (*act)(struct life *l), bool killed)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct life l = { 0 };

		life_begin(&l, dir);
		act(&l);
		if (killed)
			(void)kill(getpid(), SIGKILL);
		life_end(&l);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
			   : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void data_make(char dir[64])
{
	dir_make(dir);
}

static void data_remove(const char *dir)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	dir_remove(path);
	dir_remove(dir);
}

static void settle_out_of_order(struct life *l)
{
	append(l, 6);
	for (uint64_t seq = 1; seq <= 5; seq++)
		check_take(l, seq, 0);
	cursor_settle(l->cursor, 3, true);
	cursor_settle(l->cursor, 5, true);
}

static void find_the_others(struct life *l)
{
	check_take(l, 1, 1);
	check_take(l, 2, 1);
	check_take(l, 4, 1);
	check_take(l, 6, 0); /* was never taken */
	check_take(l, 0, 0);
	for (uint64_t seq = 1; seq <= 6; seq++)
		cursor_settle(l->cursor, seq, true);
	check(cursor_lag(l->cursor) == 0);
}

static void find_nothing(struct life *l)
{
	check_take(l, 0, 0);
}

static void what_was_settled_above_the_floor_does_not_come_again(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, settle_out_of_order, true);
	live(dir, find_the_others, true);
	live(dir, find_nothing, false);
	data_remove(dir);
}

static void take_one(struct life *l)
{
	append(l, 1);
	check_take(l, 1, 0);
}

static void take_once_more(struct life *l)
{
	check_take(l, 1, 1);
}

static void take_again_and_again(struct life *l)
{
	check_take(l, 1, 2);
	cursor_settle(l->cursor, 1, false);
	check_take(l, 1, 3);
	cursor_settle(l->cursor, 1, false);
	check_take(l, 1, 4);
}

static void take_the_last_time(struct life *l)
{
	check_take(l, 1, 5);
	cursor_settle(l->cursor, 1, true);
}

static void what_was_under_way_counts_each_time(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, take_one, true);
	live(dir, take_once_more, true);
	live(dir, take_again_and_again, true);
	live(dir, take_the_last_time, true);
	live(dir, find_nothing, false);
	data_remove(dir);
}

static void take_and_stop(struct life *l)
{
	append(l, 2);
	check_take(l, 1, 0);
	check_take(l, 2, 0);
	cursor_settle(l->cursor, 2, true);
}

static void find_the_first_again(struct life *l)
{
	check_take(l, 1, 1);
	check_take(l, 0, 0);
}

static void a_clean_end_leaves_the_same(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, take_and_stop, false);
	live(dir, find_the_first_again, false);
	data_remove(dir);
}

/* Without another turn the journal does not even hear of it. */
static void settle_in_order(struct life *l)
{
	append(l, 3);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		check_take(l, seq, 0);
		cursor_settle(l->cursor, seq, true);
	}
	check(leases_used(l) == 3);
}

static void find_all_settled(struct life *l)
{
	check(stream_first(l->stream) == 1);
	check_take(l, 0, 0);
	check(stream_visible(l->stream) == 4);
	check(cursor_lag(l->cursor) == 0);
}

static void what_is_settled_and_not_yet_trimmed_does_not_come_again(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, settle_in_order, true);
	live(dir, find_all_settled, true);
	live(dir, find_nothing, false);
	data_remove(dir);
}

static void find_none_left(struct life *l)
{
	check_take(l, 0, 0);
	check(leases_used(l) == 0);
}

static void settle_and_wait(struct life *l)
{
	settle_in_order(l);
	loop_test_advance(l->loop, 20);
	for (int i = 0; i < 20000 && leases_used(l); i++)
		turn(l);
	check(leases_used(l) == 0);
}

static void leases_are_free_when_the_trim_is_written(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, settle_and_wait, true);
	live(dir, find_none_left, false);
	data_remove(dir);
}

static void find_new_ones(struct life *l)
{
	append(l, 6);
	for (uint64_t seq = 1; seq <= 6; seq++)
		check_take(l, seq, 0);
}

static void of_a_replaced_journal_they_mean_nothing(void **state)
{
	char dir[64], path[96];

	data_make(dir);
	live(dir, settle_out_of_order, true);
	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	dir_remove(path);
	live(dir, find_new_ones, false);
	data_remove(dir);
}

static void of_messages_that_were_never_written_they_mean_nothing(void **state)
{
	char dir[64], path[96], table[96], later[96];

	data_make(dir);
	live(dir, take_one, true);
	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	(void)snprintf(table, sizeof(table), "%s/leases", dir);
	(void)snprintf(later, sizeof(later), "%s/later", dir);
	assert_int_equal(rename(table, later), 0);
	dir_remove(path);
	live(dir, find_new_ones, true); /* number 1 is another message now */
	assert_int_equal(rename(later, table), 0);
	live(dir, find_new_ones, false);
	data_remove(dir);
}

static void full_table(struct life *l)
{
	struct stream_stats stats;

	for (uint64_t i = 1; i <= LEASES_MAX; i++) {
		const struct lease_key key = key_of(i);

		check(lease_take(l->leases, &key, 0));
	}
	append(l, 2);
	check_take(l, 1, 0);
	check_take(l, 2, 0);
	cursor_settle(l->cursor, 2, true);
	cursor_settle(l->cursor, 1, false);
	check_take(l, 1, 1);
	streams_stats(l->streams, &stats);
	check(stats.unleased == 3);
}

/* Nobody knows of them; what filled the table belongs to nothing and is swept out. */
static void find_both_unmarked(struct life *l)
{
	check_take(l, 1, 0);
	check_take(l, 2, 0);
	check(leases_used(l) == 2);
}

static void with_a_full_table_messages_come_unmarked(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, full_table, true);
	live(dir, find_both_unmarked, false);
	data_remove(dir);
}

static void set_aside(struct life *l)
{
	append(l, 3);
	check_take(l, 1, 0);
	cursor_set_aside(l->cursor, 1);
	check_take(l, 2, 0);
	cursor_settle(l->cursor, 2, false);
	check_take(l, 2, 1);
	cursor_set_aside(l->cursor, 2);
	check_take(l, 3, 0);
	cursor_set_aside(l->cursor, 3);
	check(cursor_take_aside(l->cursor, 3));
	check(leases_used(l) == 2);
}

static void find_as_before(struct life *l)
{
	check_take(l, 1, 0);
	cursor_set_aside(l->cursor, 1);
	check(cursor_take_aside(l->cursor, 1));
	cursor_settle(l->cursor, 1, true);
	check_take(l, 2, 1);
	cursor_set_aside(l->cursor, 2);
	check_take(l, 3, 1);
}

static void find_no_more_than_was_under_way(struct life *l)
{
	check_take(l, 2, 1);
	check_take(l, 3, 2);
}

static void what_is_set_aside_is_not_under_way(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, set_aside, true);
	live(dir, find_as_before, true);
	live(dir, find_no_more_than_was_under_way, false);
	data_remove(dir);
}

static void change_readers(struct life *l)
{
	settle_out_of_order(l);
	l->cursor = cursor_destroy(l->cursor);
	open_cursor(l);
	find_the_others(l);
}

static void the_next_reader_of_the_same_run_knows_it_too(void **state)
{
	char dir[64];

	data_make(dir);
	live(dir, change_readers, false);
	data_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_left_is_recalled_once),
		cmocka_unit_test(a_lease_of_another_message_with_that_number_means_nothing),
		cmocka_unit_test(a_full_table_is_counted_and_has_room_again),
		cmocka_unit_test(half_a_slot_is_free),
		cmocka_unit_test(what_is_no_lease_file_is_replaced),
		cmocka_unit_test(a_path_that_is_no_file_is_a_sentence),
		cmocka_unit_test(what_was_settled_above_the_floor_does_not_come_again),
		cmocka_unit_test(what_was_under_way_counts_each_time),
		cmocka_unit_test(a_clean_end_leaves_the_same),
		cmocka_unit_test(what_is_settled_and_not_yet_trimmed_does_not_come_again),
		cmocka_unit_test(leases_are_free_when_the_trim_is_written),
		cmocka_unit_test(of_a_replaced_journal_they_mean_nothing),
		cmocka_unit_test(of_messages_that_were_never_written_they_mean_nothing),
		cmocka_unit_test(with_a_full_table_messages_come_unmarked),
		cmocka_unit_test(what_is_set_aside_is_not_under_way),
		cmocka_unit_test(the_next_reader_of_the_same_run_knows_it_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
