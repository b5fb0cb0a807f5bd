/* SPDX-License-Identifier: MIT */
/*
 * The servers that bench_pubsub compares.
 *
 * nginx runs as Debian has it, with a worker of one thread, as voxbusd has one loop thread. Nchan keeps
 * messages in shared memory, which counts as its worker's memory like any other; it is given as much
 * as it may want, so that it forgets nothing while a reader is behind.
 */
#include "service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "bench.h"
#include "loop/loop.h"

/* As long as a real account's. */
#define SID   "AC00000000000000000000000000bench0"
#define TOKEN "bench-token"
#define BASIC "QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMGJlbmNoMDpiZW5jaC10b2tlbg=="

enum { READY_US = 10000000, FORM_MAX = 512 };

static void start_voxbus(struct service *s, const char *program)
{
	FILE *config = child_prepare(&s->child);

	(void)fprintf(config,
		      "http: {listen: ['127.0.0.1:%d']}\naccounts: [{sid: " SID ", token: " TOKEN
		      "}]\nbuses: [{type: longpoll, name: http}]\n",
		      s->child.http);
	child_start(&s->child, config, program, NULL);
	(void)child_wait_ready(&s->child);
	child_log_in(&s->child, BASIC, s->session);
	s->measured = s->child;
}

static void write_nginx_config(const struct service *s)
{
	const char *module = getenv("NCHAN_MODULE");
	FILE *f = fopen(s->child.config, "we");

	if (!f)
		die(s->child.config);
	(void)fprintf(f,
		      "load_module %s;\n"
		      "worker_processes 1;\nworker_rlimit_nofile 20000;\ndaemon off;\n"
		      "pid nginx.pid;\nerror_log error.log warn;\n"
		      "events { worker_connections 19000; }\n"
		      "http {\n  access_log off;\n  keepalive_timeout 600s;\n"
		      "  keepalive_requests 1000000000;\n  nchan_shared_memory_size 2048M;\n",
		      module ? module : "/usr/lib/nginx/modules/ngx_nchan_module.so");
	for (const char *const *name = (const char *const[]){ "client_body", "proxy", "fastcgi",
							      "uwsgi", "scgi", NULL };
	     *name; name++)
		(void)fprintf(f, "  %s_temp_path %s;\n", *name, *name);
	(void)fprintf(
		f,
		"  server {\n    listen 127.0.0.1:%d backlog=16384;\n    listen unix:%s;\n"
		"    location = /status { nchan_stub_status; }\n"
		"    location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1;\n"
		"      nchan_message_buffer_length 1000000; nchan_message_timeout 10m; }\n"
		"    location ~ ^/sub/(.+)$ { nchan_subscriber longpoll; nchan_channel_id $1;\n"
		"      nchan_subscriber_timeout 600s;%s }\n  }\n}\n",
		s->child.http, s->child.admin,
		s->kind == NCHAN_RAW ? " nchan_longpoll_multipart_response raw;" : "");
	if (fclose(f) != 0)
		die(s->child.config);
}

/* The one child of the master, once it is there; 0: not yet. */
static pid_t worker_of(pid_t master)
{
	char path[64], text[32] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)master, (int)master);
	f = fopen(path, "re");
	if (f && !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		(void)fclose(f);
	return (pid_t)strtol(text, NULL, 10);
}

static void start_nginx(struct service *s, const char *program)
{
	uint64_t began = loop_now_us();

	child_make(&s->child);
	write_nginx_config(s);
	child_exec(&s->child,
		   (const char *const[]){ program, "-p", s->child.dir, "-c", s->child.config, "-e",
					  "error.log", NULL },
		   NULL);
	while (strncmp(child_get(&s->child, "/status") + 9, "200", 3) != 0) {
		if (loop_now_us() - began > READY_US)
			die("nginx does not get ready");
		(void)usleep(1000);
	}
	s->measured = s->child;
	s->measured.pid = worker_of(s->child.pid);
	if (s->measured.pid <= 0)
		die("nginx has no worker");
}

bool service_start(struct service *s, const char *kind, const char *program)
{
	static const char *const kinds[] = { "voxbus", "relaxed", "nchan", "raw" };

	*s = (struct service){ .kind = VOXBUS };
	while (s->kind <= NCHAN_RAW && strcmp(kinds[s->kind], kind) != 0)
		s->kind++;
	if (s->kind > NCHAN_RAW)
		return false;
	if (service_is_voxbus(s))
		start_voxbus(s, program);
	else
		start_nginx(s, program);
	return true;
}

bool service_is_voxbus(const struct service *s)
{
	return s->kind == VOXBUS || s->kind == VOXBUS_RELAXED;
}

size_t service_publish(const struct service *s, unsigned queue, uint64_t stamp_us, char *text,
		       size_t size)
{
	char form[FORM_MAX], target[128];
	int n = snprintf(form, sizeof(form),
			 "ToCountry=US&" ANSWER_STAMP "=%016" PRIu64 "&SmsMessageSid=SM%032" PRIx64
			 "&NumMedia=0&FromCity=&SmsStatus=received"
			 "&Body=Your+table+for+four+is+ready%%21+Reply+1+to+come%%2C+2+to+wait"
			 "&FromCountry=US&To=%%2B15551230001&NumSegments=1"
			 "&From=%%2B15559870002&ApiVersion=2010-04-01",
			 stamp_us, stamp_us);

	if (service_is_voxbus(s))
		(void)snprintf(target, sizeof(target), "/" SID "/queue-%05u%s", queue,
			       s->kind == VOXBUS_RELAXED ? "?durability=relaxed" : "");
	else
		(void)snprintf(target, sizeof(target), "/pub/queue-%05u", queue);
	n = snprintf(text, size,
		     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		     "Content-Type: application/x-www-form-urlencoded\r\n"
		     "Content-Length: %d\r\n\r\n%s",
		     target, n, form);
	return (size_t)n;
}

static size_t poll_nchan(unsigned queue, const struct service_place *place, char *text, size_t size)
{
	char since[128] = "";

	if (place->tag[0])
		(void)snprintf(since, sizeof(since),
			       "If-Modified-Since: %s\r\nIf-None-Match: %s\r\n", place->modified,
			       place->tag);
	return (size_t)snprintf(text, size,
				"GET /sub/queue-%05u HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", queue,
				since);
}

size_t service_poll(const struct service *s, unsigned queue, unsigned max,
		    const struct service_place *place, char *text, size_t size)
{
	if (!service_is_voxbus(s))
		return poll_nchan(queue, place, text, size);
	return (size_t)snprintf(text, size,
				"GET /" SID "/queue-%05u?timeout=%s&max=%u HTTP/1.1\r\n"
				"Host: 127.0.0.1\r\nAuthorization: %s\r\n\r\n",
				queue, max ? "600s" : "0", max ? max : 1, s->session);
}

uint64_t service_waiters(const struct service *s)
{
	static const char key[] = "subscribers: ";
	const char *at;

	if (service_is_voxbus(s))
		return child_status(&s->child, "waiters");
	at = strstr(child_get(&s->child, "/status"), key);
	return at ? strtoull(at + sizeof(key) - 1, NULL, 10) : 0;
}

void service_stop(struct service *s)
{
	child_stop(&s->child);
}
