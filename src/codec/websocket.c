/* SPDX-License-Identifier: MIT */
/* Handshake checks of RFC 6455 sections 4.1 and 4.2; the SHA-1 and base64 are OpenSSL's. */
#include "codec/websocket.h"

#include <errno.h>

#include <openssl/evp.h>

#include "codec/http.h"

/* RFC 6455 section 1.3. */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { KEY_LENGTH = WEBSOCKET_KEY_SIZE - 1, SHA1_SIZE = 20 };

static void set_once(struct websocket_head *h, struct str *at, struct str value)
{
	h->twice |= at->p != NULL;
	*at = value.p ? value : STR("");
}

void websocket_head_add(struct websocket_head *h, struct str name, struct str value)
{
	value = str_trim(value);
	if (str_eq_nocase(name, STR("Upgrade")))
		h->upgrade |= http_has_token(value, STR("websocket"));
	else if (str_eq_nocase(name, STR("Connection")))
		h->connection |= http_has_token(value, STR("Upgrade"));
	else if (str_eq_nocase(name, STR("Sec-WebSocket-Key")))
		set_once(h, &h->key, value);
	else if (str_eq_nocase(name, STR("Sec-WebSocket-Accept")))
		set_once(h, &h->accept, value);
	else if (str_eq_nocase(name, STR("Sec-WebSocket-Version")))
		set_once(h, &h->version, value);
	else if (str_eq_nocase(name, STR("Sec-WebSocket-Protocol")))
		set_once(h, &h->protocol, value);
	else if (str_eq_nocase(name, STR("Sec-WebSocket-Extensions")))
		h->extensions = true;
}

/* 16 bytes in base64: 22 digits and "==". */
static bool is_key(struct str s)
{
	if (s.n != KEY_LENGTH || !str_ends(s, STR("==")))
		return false;
	for (size_t i = 0; i < KEY_LENGTH - 2; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '+' || c == '/'))
			return false;
	}
	return true;
}

int websocket_check_request(const struct websocket_head *h, struct str method, int minor,
			    char accept[WEBSOCKET_ACCEPT_SIZE])
{
	if (!str_eq(method, STR("GET")) || minor < 1 || !h->upgrade || !h->connection || h->twice ||
	    !h->version.p)
		return -EBADMSG;
	if (!str_eq(h->version, STR("13")))
		return -EPROTONOSUPPORT;
	if (!is_key(h->key))
		return -EBADMSG;
	return websocket_accept(h->key, accept);
}

int websocket_check_answer(const struct websocket_head *h, struct str accept, struct str protocol)
{
	if (!h->upgrade || !h->connection || h->twice || h->extensions ||
	    !str_eq(h->accept, accept) || !str_eq(h->protocol, protocol))
		return -EBADMSG;
	return 0;
}

void websocket_key(const unsigned char nonce[WEBSOCKET_NONCE], char key[WEBSOCKET_KEY_SIZE])
{
	(void)EVP_EncodeBlock((unsigned char *)key, nonce, WEBSOCKET_NONCE);
}

int websocket_accept(struct str key, char accept[WEBSOCKET_ACCEPT_SIZE])
{
	unsigned char text[KEY_LENGTH + sizeof(GUID) - 1], digest[SHA1_SIZE];
	unsigned int n = 0;

	if (key.n != KEY_LENGTH)
		return -EBADMSG;
	memcpy(text, key.p, KEY_LENGTH);
	memcpy(text + KEY_LENGTH, GUID, sizeof(GUID) - 1);
	if (EVP_Digest(text, sizeof(text), digest, &n, EVP_sha1(), NULL) != 1 || n != SHA1_SIZE)
		return -ENOMEM;
	(void)EVP_EncodeBlock((unsigned char *)accept, digest, SHA1_SIZE);
	return 0;
}

bool websocket_code_is_valid(int code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
	       (code >= 3000 && code <= 4999);
}
