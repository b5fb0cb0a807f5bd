/* SPDX-License-Identifier: MIT */
/* Client connections of benchmarks: straight on the socket, or OpenSSL on the socket. */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

/* OpenSSL's words, when it has some. */
_Noreturn static void die_tls(const char *what)
{
	if (!ERR_peek_error())
		die(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

struct ssl_ctx_st *peer_tls_create(const char *certificate)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls || SSL_CTX_load_verify_locations(tls, certificate, NULL) != 1)
		die_tls(certificate);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	return tls;
}

void peer_dial(struct peer *peer, int port, struct ssl_ctx_st *tls)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (peer->fd < 0)
		die("socket");
	if (connect(peer->fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		die("connect");
	(void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	peer->ssl = NULL;
	if (!tls)
		return;
	peer->ssl = SSL_new(tls);
	if (!peer->ssl || !SSL_set_fd(peer->ssl, peer->fd))
		die_tls("SSL_new");
	SSL_set_connect_state(peer->ssl);
}

uint32_t peer_open(struct peer *peer)
{
	socklen_t n = sizeof(errno);
	int rc, why = 0;

	if (!peer->ssl) {
		if (getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &why, &n) < 0 || (errno = why))
			die("a connection is refused");
		return 0;
	}
	rc = SSL_do_handshake(peer->ssl);
	if (rc == 1)
		return 0;
	switch (SSL_get_error(peer->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return EPOLLIN;
	case SSL_ERROR_WANT_WRITE:
		return EPOLLOUT;
	default:
		die_tls("a TLS handshake");
	}
}

void peer_send(struct peer *peer, const char *text, size_t n)
{
	ssize_t put = peer->ssl ? SSL_write(peer->ssl, text, (int)n)
				: send(peer->fd, text, n, MSG_NOSIGNAL);

	if (put != (ssize_t)n)
		die_tls("send");
}

size_t peer_recv(struct peer *peer, char *text, size_t n)
{
	ssize_t got;

	if (peer->ssl) {
		got = SSL_read(peer->ssl, text, (int)n);
		if (got <= 0 && SSL_get_error(peer->ssl, (int)got) == SSL_ERROR_WANT_READ)
			return 0;
	} else {
		got = recv(peer->fd, text, n, 0);
		if (got < 0 && errno == EAGAIN)
			return 0;
	}
	if (got <= 0)
		die_tls("a connection has ended");
	return (size_t)got;
}

void peer_close(struct peer *peer)
{
	SSL_free(peer->ssl);
	(void)close(peer->fd);
	*peer = (struct peer){ .fd = -1 };
}
