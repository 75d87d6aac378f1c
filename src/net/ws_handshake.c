/* The server's half of RFC 6455 section 4: is this request an upgrade, which subprotocol, and
 * the answer's headers. Apart from the framing so that the codec links without the server. */
#include "net/ws.h"

#include "base/b64.h"

#include <openssl/evp.h>

/* True when token is one of the comma-separated members of list, whatever its case. */
static bool ws_list_has(struct sv list, const char *token)
{
	struct sv member;

	while (sv_split(&list, ',', &member))
		if (sv_ieq(sv_trim(member), sv_from(token)))
			return true;
	return false;
}

bool ws_is_upgrade(const struct http_req *r)
{
	return r->version == 1 && sv_ieq(sv_trim(http_header_get(r, "upgrade")), SV("websocket")) &&
	       ws_list_has(http_header_get(r, "connection"), "upgrade");
}

struct sv ws_accept_key(struct arena *a, struct sv key)
{
	struct sv both = arena_svf(a, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", SV_ARG(key));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_n = 0;

	BUG_ON(EVP_Digest(both.p, both.n, digest, &digest_n, EVP_sha1(), NULL) != 1);
	return b64_encode(a, sv_make((const char *)digest, digest_n));
}

/* Does the client name protocol in any of its Sec-WebSocket-Protocol headers? */
static bool client_names(const struct http_req *r, const char *protocol, bool *ret_names_any)
{
	bool found = false;

	for (size_t i = 0; i < r->n_headers; i++) {
		struct sv list = r->headers[i].value, member;

		if (!sv_is(r->headers[i].name, "sec-websocket-protocol"))
			continue;
		while (sv_split(&list, ',', &member)) {
			*ret_names_any |= sv_trim(member).n > 0;
			found |= sv_is(sv_trim(member), protocol);
		}
	}
	return found;
}

int ws_accept(struct http_req *r, const char *const *offers, const char **ret_protocol,
	      struct http_header **ret_headers, size_t *ret_n, struct err *err)
{
	struct sv key = sv_trim(http_header_get(r, "sec-websocket-key"));
	const char *protocol = NULL;
	struct http_header *h;
	bool names_any = false;
	size_t n = 0;

	if (!ws_is_upgrade(r))
		return err_set(err, ERR_BAD_REQUEST, "the request is not a websocket upgrade");
	if (!sv_is(sv_trim(http_header_get(r, "sec-websocket-version")), "13"))
		return err_set(err, ERR_BAD_REQUEST, "websocket version is not 13");
	if (key.n != 24) /* base64 of 16 bytes */
		return err_set(err, ERR_BAD_REQUEST, "websocket key is missing or malformed");
	for (const char *const *o = offers; *o && !protocol; o++) {
		bool named = client_names(r, *o, &names_any);

		/* "" among the offers takes clients that name no subprotocol at all. */
		if (**o ? named : !names_any)
			protocol = *o;
	}
	if (!protocol)
		return err_set(err, ERR_BAD_REQUEST, "none of the requested websocket subprotocols is supported");

	h = ARENA_ARRAY(r->arena, struct http_header, 4);
	h[n++] = (struct http_header){ SV("upgrade"), SV("websocket") };
	h[n++] = (struct http_header){ SV("connection"), SV("Upgrade") };
	h[n++] = (struct http_header){ SV("sec-websocket-accept"), ws_accept_key(r->arena, key) };
	if (*protocol)
		h[n++] = (struct http_header){ SV("sec-websocket-protocol"), sv_from(protocol) };
	*ret_protocol = protocol;
	*ret_headers = h;
	*ret_n = n;
	return 0;
}
