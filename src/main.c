/* SPDX-License-Identifier: MIT */
/*
 * voxbusd: reads its options and its configuration, then hands over to the daemon.
 *
 * Exit codes: 0 = stopped in order, 1 = could not start, 2 = the options or the configuration are
 * wrong (one line on standard error says where and what is allowed; nothing was started). Those of
 * --check-journal are in check_journal.h.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "check_journal.h"
#include "config/ari_proxy_conf.h"
#include "daemon.h"
#include "daemon_tls.h"
#include "heap.h"

#define SYSTEM_CONFIG "/etc/voxbus/voxbus.yaml"

enum { EXIT_FINE, EXIT_START, EXIT_CONFIG };
enum action { RUN, CHECK, CHECK_JOURNAL, PRINT, DOC };

struct options {
	const char *file, *journal; /* NULL: the default; where the configuration says */
	bool ari_proxy;             /* file is a config.json of go-ari-proxy */
	enum action action;
};

static const char usage[] =
	"usage: voxbusd [-c FILE | --ari-proxy FILE] [--check | --check-journal[=DIR] | --print]\n"
	"               [--version] [--help]\n"
	"  -c, --config FILE  the configuration (default: " SYSTEM_CONFIG ", else embedded)\n"
	"      --ari-proxy FILE  go-ari-proxy's config.json in its place; with --print: as "
	"voxbus.yaml\n"
	"      --check        say whether the configuration is right, and stop\n"
	"      --check-journal[=DIR]  say what is wrong with the journal, change nothing, and "
	"stop\n"
	"      --print        print the effective configuration without secrets, and stop\n"
	"      --version      print the version, and stop\n"
	"The manual: voxbusd(8), voxbus.yaml(5).\n";

/* -1: go on; else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "ari-proxy", required_argument, NULL, 'a' },
		{ "check", no_argument, NULL, 'k' },
		{ "check-journal", optional_argument, NULL, 'j' },
		{ "print", no_argument, NULL, 'p' },
		{ "print-doc", no_argument, NULL, 'd' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
		case 'a':
			if (o->file && o->ari_proxy != (c == 'a')) {
				(void)fprintf(stderr,
					      "voxbusd: -c and --ari-proxy are given, must be "
					      "one of them\n");
				return EXIT_CONFIG;
			}
			o->file = optarg;
			o->ari_proxy = c == 'a';
			break;
		case 'k':
			o->action = CHECK;
			break;
		case 'j':
			o->action = CHECK_JOURNAL;
			o->journal = optarg;
			break;
		case 'p':
			o->action = PRINT;
			break;
		case 'd': /* for the manual's own check */
			o->action = DOC;
			break;
		case 'v':
			(void)printf("voxbusd %s\n", VOXBUS_VERSION);
			return EXIT_FINE;
		case 'h':
			(void)fputs(usage, stdout);
			return EXIT_FINE;
		default:
			(void)fputs(usage, stderr);
			return EXIT_CONFIG;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "voxbusd: \"%s\" is not an option\n%s", argv[optind], usage);
		return EXIT_CONFIG;
	}
	if (!o->file && access(SYSTEM_CONFIG, F_OK) == 0)
		o->file = SYSTEM_CONFIG;
	return -1;
}

static int run(struct voxbus_conf *conf, const struct options *o)
{
	struct daemon *daemon = NULL;
	struct err e = { "" };
	int rc;

	log_setup((enum log_level)conf->log.level, (enum log_format)conf->log.format, stderr);
	(void)signal(SIGPIPE, SIG_IGN);
	rc = daemon_create(conf, o->file, o->ari_proxy, &daemon, &e);
	if (rc == 0) {
		heap_give_back();
		rc = daemon_run(daemon, &e);
	}
	daemon = daemon_destroy(daemon);
	if (rc < 0)
		(void)fprintf(stderr, "voxbusd: %s\n", e.text);
	return rc < 0 ? EXIT_START : EXIT_FINE;
}

static int check(const struct voxbus_conf *conf, const char *name)
{
	struct err e = { "" };

	if (daemon_tls_check(conf, name, stdout, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return EXIT_CONFIG;
	}
	(void)printf("%s: the configuration is right\n", name);
	return EXIT_FINE;
}

static int print(const struct voxbus_conf *conf)
{
	int rc = voxbus_conf_print(conf, stdout);

	if (rc == 0)
		return EXIT_FINE;
	(void)fprintf(stderr, "voxbusd: the configuration can't be printed: %s\n", strerror(-rc));
	return EXIT_START;
}

static int act(const struct options *o, struct voxbus_conf *conf)
{
	switch (o->action) {
	case CHECK:
		return check(conf, o->file ? o->file : "embedded defaults");
	case CHECK_JOURNAL:
		return check_journal(conf->data_dir, stdout);
	case PRINT:
		return print(conf);
	default:
		return run(conf, o);
	}
}

static int load(const struct options *o, struct voxbus_conf **ret, struct err *e)
{
	if (o->ari_proxy)
		return ari_proxy_conf_load(daemon_variants, o->file, ret, e);
	return voxbus_conf_load(daemon_variants, o->file, ret, e);
}

int main(int argc, char **argv)
{
	struct options o = { .action = RUN };
	struct voxbus_conf *conf;
	struct err e = { "" };
	int code;

	code = parse_options(argc, argv, &o);
	if (code >= 0)
		return code;
	if (o.action == DOC)
		return voxbus_conf_doc(daemon_variants, stdout) == 0 ? EXIT_FINE : EXIT_START;
	if (o.journal) /* no configuration is needed, nor wanted: it may be another machine's */
		return check_journal(o.journal, stdout);
	if (load(&o, &conf, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return EXIT_CONFIG;
	}
	code = act(&o, conf);
	conf = voxbus_conf_destroy(conf);
	return code;
}
