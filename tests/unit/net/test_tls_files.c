/* SPDX-License-Identifier: MIT */
/* TLS's files: what is said about those that are wrong, and those that change under way. */
#include "tls_test.h"

#include <openssl/ssl.h>

#include "net/conn.h"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	(void)fclose(f);
}

static void copy_file(const char *from, const char *to)
{
	char text[16384];
	FILE *f = fopen(from, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	write_file(to, text);
}

/* name is of a pair; other ends are given whole ("server.crt"). */
static const char *file(const char *name)
{
	return name ? pem_path(&pems, name, "") : NULL;
}

static void make_odd_files(void)
{
	FILE *f = fopen(file("locked.key"), "w");
	EVP_PKEY *key = pem_read_key(&pems, "server");

	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(),
					      (const unsigned char *)"secret", 6, NULL, NULL),
			 1);
	(void)fclose(f);
	EVP_PKEY_free(key);
	write_file(file("empty"), "");
	write_file(file("rubbish"),
		   "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	pem_make(&pems, &(struct pem){ "weak", "ca", PEM_HOSTS, .rsa_bits = 1024 });
	pem_make(&pems, &(struct pem){ "rsa", "ca", PEM_HOSTS, .rsa_bits = 2048 });
}

/* Looks at the files again and again: one that the thread pool is slow with makes the next ones wait. */
#define LOOK_UNTIL(loop, condition) \
	RUN_UNTIL(loop, (loop_test_advance(loop, TLS_LOOK_MS), run_some(loop), condition))

static void wrong_files_are_named_with_what_to_do(void **state)
{
	static const struct {
		const char *what, *certificate, *key, *client_ca;
		int rc;
		const char *names, *says;
	} cases[] = {
		{ "good", "server.crt", "server.key", NULL, 0, "", "" },
		{ "good RSA", "rsa.crt", "rsa.key", "ca.crt", 0, "", "" },
		{ "no certificate", "no.crt", "server.key", NULL, -ENOENT, "no.crt",
		  "No such file or directory: give the path" },
		{ "no key", "server.crt", "no.key", NULL, -ENOENT, "no.key", "No such file" },
		{ "no client_ca", "server.crt", "server.key", "no.ca", -ENOENT, "client_ca",
		  "No such file" },
		{ "a directory", ".", "server.key", NULL, -EISDIR, "certificate",
		  "Is a directory" },
		{ "an empty file", "empty", "server.key", NULL, -EBADMSG, "empty",
		  "holds no certificate: it must be in PEM form" },
		{ "rubbish", "rubbish", "server.key", NULL, -EBADMSG, "rubbish", "damaged" },
		{ "swapped", "server.key", "server.crt", NULL, -EBADMSG, "server.key",
		  "holds no certificate" },
		{ "a certificate for a key", "server.crt", "server.crt", NULL, -EBADMSG,
		  "server.crt", "holds no private key" },
		{ "another's key", "server.crt", "client.key", NULL, -EINVAL, "client.key",
		  "does not belong to certificate" },
		{ "a key of another kind", "server.crt", "rsa.key", NULL, -EINVAL, "rsa.key",
		  "does not belong to certificate" },
		{ "a passphrase", "server.crt", "locked.key", NULL, -EBADMSG, "locked.key",
		  "has a passphrase: write it without one" },
		{ "1024 bits", "weak.crt", "weak.key", NULL, -EINVAL, "weak.crt", "too weak" },
		{ "an empty client_ca", "server.crt", "server.key", "empty", -EBADMSG, "empty",
		  "holds no certificate" },
	};

	make_odd_files();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_server_options options = { file(cases[i].certificate),
						      file(cases[i].key),
						      file(cases[i].client_ca) };
		struct tls_context *context = NULL;
		struct err e = { "" };
		int rc = tls_server_create(NULL, &options, NULL, &context, &e);

		context = tls_context_destroy(context);
		if (rc != cases[i].rc || !strstr(e.text, cases[i].names) ||
		    !strstr(e.text, cases[i].says))
			fail_msg("%s: %d %s", cases[i].what, rc, e.text);
	}
}

static void a_clients_wrong_files_are_named_too(void **state)
{
	struct tls_client_options options = { .ca = file("no.ca") };
	struct tls_context *context = NULL;
	struct err e = { "" };

	assert_int_equal(tls_client_create(NULL, &options, NULL, &context, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no.ca"));
	options = (struct tls_client_options){ .ca = file("ca.crt"),
					       .certificate = file("client.crt"),
					       .key = file("server.key") };
	assert_int_equal(tls_client_create(NULL, &options, NULL, &context, &e), -EINVAL);
	assert_non_null(strstr(e.text, "does not belong"));
}

static void a_key_that_may_not_be_read_says_so(void **state)
{
	struct tls_server_options options = { file("server.crt"), file("secret.key"), NULL };
	struct tls_context *context = NULL;
	struct err e = { "" };
	bool root = geteuid() == 0;
	int rc;

	copy_file(file("server.key"), file("secret.key"));
	assert_int_equal(chmod(file("secret.key"), 0), 0);
	/* Root may read everything. */
	if (root)
		assert_int_equal(seteuid(65534), 0);
	rc = tls_server_create(NULL, &options, NULL, &context, &e);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(rc, -EACCES);
	assert_non_null(strstr(e.text, "let the user of voxbusd read it"));
}

static void problems_of_a_certificate_are_told_ahead(void **state)
{
	static const struct {
		const char *what;
		long from_s, to_s;
		mode_t mode;
		int rc;
		const char *says;
	} cases[] = {
		{ "fine", -PEM_HOUR, 15 * PEM_DAY, 0600, 0, "" },
		{ "soon", -PEM_HOUR, 14 * PEM_DAY - 60, 0600, 1, "expires on 2" },
		{ "expired", -PEM_DAY, -60, 0600, -EKEYEXPIRED, "expired on 2" },
		{ "not yet", 60, PEM_DAY, 0600, -EKEYEXPIRED, "valid only from 2" },
		{ "open", -PEM_HOUR, 15 * PEM_DAY, 0644, 1, "may be read by everybody" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_context *context;
		struct tls_certificate c;
		struct err e = { "" };
		int rc;

		pem_make(&pems, &(struct pem){ "dated", "ca", PEM_HOSTS, .from_s = cases[i].from_s,
					       .to_s = cases[i].to_s });
		assert_int_equal(chmod(file("dated.key"), cases[i].mode), 0);
		context = tls_test_server(NULL, &pems, "dated", NULL);
		tls_context_certificate(context, &c);
		assert_true(c.known);
		assert_string_equal(c.subject, "/CN=dated");
		assert_int_equal(c.not_after - c.not_before, cases[i].to_s - cases[i].from_s);
		rc = tls_certificate_problem(context, c.not_before - cases[i].from_s, &e);
		if (rc != cases[i].rc || !strstr(e.text, cases[i].says))
			fail_msg("%s: %d %s", cases[i].what, rc, e.text);
		context = tls_context_destroy(context);
	}
}

/* ---- reload ---- */

struct fixture {
	struct loop *loop;
	struct tls_context *server, *client;
	struct listener *listener;
	struct conn *far[8], *near;
	size_t n_far;
	int opens, ends, reason;
	struct buf got;
};

static void on_open(void *arg)
{
	((struct fixture *)arg)->opens++;
}

static void on_data(void *arg, struct str data)
{
	assert_int_equal(buf_add(&((struct fixture *)arg)->got, data), 0);
}

static void on_end(void *arg, int reason)
{
	struct fixture *f = arg;

	f->ends++;
	f->reason = reason;
}

static void ignore(void *arg, struct str data)
{
}

static void on_conn(void *arg, struct conn *conn)
{
	static const struct conn_events events = { .on_data = ignore };
	struct fixture *f = arg;

	assert_true(f->n_far < 8);
	f->far[f->n_far++] = conn;
	conn_set_events(conn, &events, f);
}

/* Serves "live", which is a copy of "one"; the client believes nobody but `ca`. */
static void setup(struct fixture *f)
{
	struct conn_options options = { 0 };

	*f = (struct fixture){ 0 };
	buf_init(&f->got, 4096);
	pem_make(&pems, &(struct pem){ "one", NULL, PEM_HOSTS });
	pem_make(&pems, &(struct pem){ "two", NULL, PEM_HOSTS });
	copy_file(file("one.crt"), file("live.crt"));
	copy_file(file("one.key"), file("live.key"));
	assert_int_equal(loop_create_manual(&f->loop), 0);
	f->server = tls_test_server(f->loop, &pems, "live", NULL);
	options.tls = f->server;
	assert_int_equal(listener_create(f->loop, STR("127.0.0.1:0"), &options, on_conn, f,
					 &f->listener, NULL),
			 0);
}

static void teardown(struct fixture *f)
{
	f->near = conn_destroy(f->near);
	for (size_t i = 0; i < f->n_far; i++)
		(void)conn_destroy(f->far[i]);
	f->listener = listener_destroy(f->listener);
	f->server = tls_context_destroy(f->server);
	f->client = tls_context_destroy(f->client);
	buf_fini(&f->got);
	f->loop = loop_destroy(f->loop);
}

/* Whether the server shows the certificate `name` to a new client. */
static bool shows(struct fixture *f, const char *name)
{
	static const struct conn_events events = { on_open, on_data, NULL, on_end };
	struct conn_options options;
	char address[64];

	f->near = conn_destroy(f->near);
	f->client = tls_context_destroy(f->client);
	f->client = tls_test_client(f->loop, &pems, name, NULL);
	options = (struct conn_options){ .tls = f->client };
	f->opens = f->ends = 0;
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", listener_port(f->listener));
	assert_int_equal(
		conn_connect(f->loop, str_from(address), &options, &events, f, &f->near, NULL), 0);
	RUN_UNTIL(f->loop, f->opens || f->ends);
	return f->opens;
}

static struct tls_stats stats_of(const struct fixture *f)
{
	struct tls_stats stats;

	tls_context_stats(f->server, &stats);
	return stats;
}

static void changed_files_are_taken_for_new_connections(void **state)
{
	struct fixture f;
	struct str hello = STR("hello");

	setup(&f);
	assert_true(shows(&f, "one"));
	copy_file(file("two.crt"), file("live.crt"));
	copy_file(file("two.key"), file("live.key"));
	loop_test_advance(f.loop, TLS_LOOK_MS - 1);
	run_some(f.loop);
	assert_int_equal(stats_of(&f).reloads, 0);
	loop_test_advance(f.loop, 1);
	RUN_UNTIL(f.loop, stats_of(&f).reloads == 1);
	/* The old connection goes on. */
	assert_int_equal(conn_write(f.far[0], &hello, 1), 0);
	RUN_UNTIL(f.loop, buf_len(&f.got) == 5);
	assert_int_equal(f.ends, 0);
	assert_true(shows(&f, "two"));
	assert_false(shows(&f, "one"));
	/* Nothing changes: nothing is read. */
	loop_test_advance(f.loop, 5 * TLS_LOOK_MS);
	run_some(f.loop);
	assert_int_equal(stats_of(&f).reloads, 1);
	teardown(&f);
}

static void a_broken_pair_changes_nothing_until_it_is_whole(void **state)
{
	struct fixture f;

	setup(&f);
	copy_file(file("two.crt"), file("live.crt"));
	tls_context_reload(f.server);
	RUN_UNTIL(f.loop, stats_of(&f).reload_failures == 1);
	assert_true(shows(&f, "one"));
	/* Told once, not at each look. */
	loop_test_advance(f.loop, 3 * TLS_LOOK_MS);
	run_some(f.loop);
	assert_int_equal(stats_of(&f).reload_failures, 1);
	copy_file(file("two.key"), file("live.key"));
	LOOK_UNTIL(f.loop, stats_of(&f).reloads == 1);
	assert_true(shows(&f, "two"));
	teardown(&f);
}

static void an_expired_certificate_does_not_replace_a_valid_one(void **state)
{
	struct fixture f;

	setup(&f);
	pem_make(&pems,
		 &(struct pem){ "live", NULL, PEM_HOSTS, .from_s = -PEM_DAY, .to_s = -PEM_HOUR });
	tls_context_reload(f.server);
	RUN_UNTIL(f.loop, stats_of(&f).reload_failures == 1);
	assert_true(shows(&f, "one"));
	teardown(&f);
}

static void reloads_that_overlap_come_one_after_the_other(void **state)
{
	struct fixture f;

	setup(&f);
	for (int i = 0; i < 5; i++)
		tls_context_reload(f.server);
	RUN_UNTIL(f.loop, stats_of(&f).reloads == 2);
	run_some(f.loop);
	assert_int_equal(stats_of(&f).reloads, 2);
	/* One that runs when its context goes harms nobody. */
	tls_context_reload(f.server);
	teardown(&f);
}

static void keys_of_tickets_live_for_a_day(void **state)
{
	struct fixture f;

	setup(&f);
	for (int i = 0; i < 24 * 60 - 1; i++) {
		loop_test_advance(f.loop, TLS_LOOK_MS);
		/* The look itself is on the thread pool. */
		run_some(f.loop);
	}
	assert_int_equal(stats_of(&f).reloads, 0);
	LOOK_UNTIL(f.loop, stats_of(&f).reloads);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_files_are_named_with_what_to_do),
		cmocka_unit_test(a_clients_wrong_files_are_named_too),
		cmocka_unit_test(a_key_that_may_not_be_read_says_so),
		cmocka_unit_test(problems_of_a_certificate_are_told_ahead),
		cmocka_unit_test(changed_files_are_taken_for_new_connections),
		cmocka_unit_test(a_broken_pair_changes_nothing_until_it_is_whole),
		cmocka_unit_test(an_expired_certificate_does_not_replace_a_valid_one),
		cmocka_unit_test(reloads_that_overlap_come_one_after_the_other),
		cmocka_unit_test(keys_of_tickets_live_for_a_day),
	};

	return cmocka_run_group_tests(tests, pems_begin, pems_end);
}
