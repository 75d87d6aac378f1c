/* Requests to registries by libcurl, one at a time, given up by a descriptor. */
#include "base/lazylib.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "kubelet/oci/registry-internal.h"

#include <stdio.h>
#include <stdlib.h>

#define REDIRECTS_MAX 10
#define STREAM_MAX ((size_t)1 << 20) /* read ahead */
#define TIMEOUT_S 120		     /* of what is no stream */
#define SLOW_S 60
#define SLOW_BYTES 1024 /* a second: less for so long is nothing */
#define HEADER_MAX 8192
#define WORDS_MAX 300

static typeof(curl_global_init) *sym_global_init;
static typeof(curl_easy_init) *sym_init;
static typeof(curl_easy_cleanup) *sym_cleanup;
static typeof(curl_easy_setopt) *sym_setopt;
static typeof(curl_easy_pause) *sym_pause;
static typeof(curl_easy_getinfo) *sym_getinfo;
static typeof(curl_easy_strerror) *sym_strerror;
static typeof(curl_multi_init) *sym_multi_init;
static typeof(curl_multi_cleanup) *sym_multi_cleanup;
static typeof(curl_multi_add_handle) *sym_multi_add;
static typeof(curl_multi_remove_handle) *sym_multi_remove;
static typeof(curl_multi_perform) *sym_multi_perform;
static typeof(curl_multi_poll) *sym_multi_poll;
static typeof(curl_multi_info_read) *sym_multi_info;
static typeof(curl_slist_append) *sym_slist_append;
static typeof(curl_slist_free_all) *sym_slist_free;
static const struct lazylib_sym registry_syms[] = {
	{ "curl_global_init", &sym_global_init },
	{ "curl_easy_init", &sym_init },
	{ "curl_easy_cleanup", &sym_cleanup },
	{ "curl_easy_setopt", &sym_setopt },
	{ "curl_easy_pause", &sym_pause },
	{ "curl_easy_getinfo", &sym_getinfo },
	{ "curl_easy_strerror", &sym_strerror },
	{ "curl_multi_init", &sym_multi_init },
	{ "curl_multi_cleanup", &sym_multi_cleanup },
	{ "curl_multi_add_handle", &sym_multi_add },
	{ "curl_multi_remove_handle", &sym_multi_remove },
	{ "curl_multi_perform", &sym_multi_perform },
	{ "curl_multi_poll", &sym_multi_poll },
	{ "curl_multi_info_read", &sym_multi_info },
	{ "curl_slist_append", &sym_slist_append },
	{ "curl_slist_free_all", &sym_slist_free },
};
static struct lazylib registry_lib = LAZYLIB("libcurl.so.4", registry_syms);

int registry_multi_begin(struct registry_call *c, struct err *err)
{
	if (lazylib_need(&registry_lib, err) < 0)
		return err_wrap(err, "pulling images needs Debian's libcurl4");
	(void)sym_global_init(CURL_GLOBAL_DEFAULT);
	c->multi = sym_multi_init();
	return c->multi ? 0 : err_set(err, ERR_INTERNAL, "libcurl does not begin");
}

void registry_multi_end(struct registry_call *c)
{
	if (c->multi)
		(void)sym_multi_cleanup(c->multi);
}

int registry_stopped(struct registry_call *c, int ms, struct err *err)
{
	struct curl_waitfd w = { .fd = c->stop_fd, .events = CURL_WAIT_POLLIN };

	(void)sym_multi_poll(c->multi, &w, c->stop_fd >= 0, ms, NULL);
	return c->stop_fd >= 0 && w.revents ? err_set(err, ERR_UNAVAILABLE, "the pull was given up: context canceled")
					    : 0;
}

/* --- what comes --- */

static size_t registry_on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct registry_ask *k = ctx;
	struct sv line = sv_make(p, size * n), name;

	if (sv_starts(line, SV("HTTP/"))) { /* also after "100 Continue", or of a proxy */
		k->challenge = (struct registry_challenge){ 0 };
		k->media_type = k->range = SV("");
	} else if (line.n <= 2) {
		(void)sym_getinfo(k->h, CURLINFO_RESPONSE_CODE, &k->status);
		k->headed = k->status >= 200;
	} else if (line.n <= HEADER_MAX && k->a.bytes < 16 * HEADER_MAX && sv_split(&line, ':', &name)) {
		line = sv_trim(line);
		if (sv_ieq(name, SV("www-authenticate")))
			registry_challenge_parse(&k->a, line, &k->challenge);
		else if (sv_ieq(name, SV("content-type")))
			k->media_type = arena_sv(&k->a, line);
		else if (sv_ieq(name, SV("content-range")))
			k->range = arena_sv(&k->a, line);
	}
	return size * n;
}

static size_t registry_on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct registry_ask *k = ctx;

	if (k->stream && k->body.n >= STREAM_MAX) {
		k->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	buf_add(&k->body, p, size * n);
	return k->body.overflow ? 0 : size * n;
}

static int registry_before(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
	struct registry_ask *k = ctx;

	(void)local_ip;
	(void)port;
	(void)local_port;
	k->local = k->foreign && registry_address_is_local(sv_from(ip));
	return k->local ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* --- one request --- */

static void registry_header(struct registry_ask *k, const char *name, struct sv value)
{
	struct curl_slist *more;
	_cleanup_free_ char *line = NULL;

	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
			return;
	line = xasprintf("%s: %.*s", name, SV_ARG(value));
	more = sym_slist_append(k->headers, line);
	if (more)
		k->headers = more;
}

static void registry_trust(struct registry_ask *k, const struct registry_endpoint *e)
{
	if (k->foreign)
		return;
	if (e->ca_file)
		(void)sym_setopt(k->h, CURLOPT_CAINFO, e->ca_file);
	if (e->cert_file)
		(void)sym_setopt(k->h, CURLOPT_SSLCERT, e->cert_file);
	if (e->key_file)
		(void)sym_setopt(k->h, CURLOPT_SSLKEY, e->key_file);
	if (e->insecure_skip_verify) {
		(void)sym_setopt(k->h, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)sym_setopt(k->h, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

static void registry_once_begin(struct registry_ask *k, const struct registry_endpoint *e,
				const struct registry_want *w, const char *url)
{
	k->foreign = !sv_eq(registry_origin(sv_from(url)), registry_origin(sv_from(e->url)));
	k->stream = w->stream;
	k->body.limit = w->stream ? 0 : w->max;
	(void)sym_setopt(k->h, CURLOPT_URL, url);
	(void)sym_setopt(k->h, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)sym_setopt(k->h, CURLOPT_NOSIGNAL, 1L);
	(void)sym_setopt(k->h, CURLOPT_QUICK_EXIT, 1L); /* does not wait for a name's resolution when given up */
	(void)sym_setopt(k->h, CURLOPT_CONNECTTIMEOUT, 30L);
	if (!w->stream)
		(void)sym_setopt(k->h, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
	(void)sym_setopt(k->h, CURLOPT_LOW_SPEED_TIME, (long)SLOW_S);
	(void)sym_setopt(k->h, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES);
	(void)sym_setopt(k->h, CURLOPT_ERRORBUFFER, k->words);
	(void)sym_setopt(k->h, CURLOPT_WRITEFUNCTION, registry_on_body);
	(void)sym_setopt(k->h, CURLOPT_WRITEDATA, k);
	(void)sym_setopt(k->h, CURLOPT_HEADERFUNCTION, registry_on_header);
	(void)sym_setopt(k->h, CURLOPT_HEADERDATA, k);
	(void)sym_setopt(k->h, CURLOPT_PREREQFUNCTION, registry_before);
	(void)sym_setopt(k->h, CURLOPT_PREREQDATA, k);
	(void)sym_setopt(k->h, CURLOPT_USERAGENT, "caravel");
	if (w->accept)
		registry_header(k, "Accept", sv_from(w->accept));
	if (w->range)
		registry_header(k, "Range", sv_from(w->range));
	if (w->authorization.n && (!k->foreign || w->post))
		registry_header(k, "Authorization", w->authorization);
	if (w->post)
		(void)sym_setopt(k->h, CURLOPT_COPYPOSTFIELDS, w->post);
	registry_trust(k, e);
	(void)sym_setopt(k->h, CURLOPT_HTTPHEADER, k->headers);
}

/* Until the body has something, the head is there, or all of it. */
static int registry_drive(struct registry_ask *k, bool head_is_enough, struct err *err)
{
	int running, left;

	if (k->paused && k->body.n < STREAM_MAX) {
		k->paused = false;
		(void)sym_pause(k->h, CURLPAUSE_CONT);
	}
	for (;;) {
		CURLMsg *m;

		(void)sym_multi_perform(k->c->multi, &running);
		while ((m = sym_multi_info(k->c->multi, &left)))
			if (m->msg == CURLMSG_DONE && m->easy_handle == k->h) {
				k->done = true;
				k->rc = m->data.result;
				(void)sym_getinfo(k->h, CURLINFO_RESPONSE_CODE, &k->status);
			}
		if (k->done || (k->stream && k->body.n) || (head_is_enough && k->headed))
			return registry_stopped(k->c, 0, err);
		if (registry_stopped(k->c, 1000, err) < 0)
			return -1;
	}
}

static int registry_failed(const struct registry_ask *k, const char *url, struct err *err)
{
	if (k->local)
		return err_set(
		    err, ERR_FORBIDDEN,
		    "failed to do request: '%s' leads to a link-local address, which no registry may send to", url);
	return err_set(err, k->rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE,
		       "failed to do request: Get \"%s\": %s", url, *k->words ? k->words : sym_strerror(k->rc));
}

static int registry_once(struct registry_ask *k, const struct registry_endpoint *e, const struct registry_want *w,
			 const char *url, struct err *err)
{
	k->h = sym_init();
	if (!k->h)
		return err_set(err, ERR_INTERNAL, "libcurl does not begin");
	registry_once_begin(k, e, w, url);
	(void)sym_multi_add(k->c->multi, k->h);
	if (registry_drive(k, w->stream, err) < 0)
		return -1;
	/* What a stream brought before it broke off is read first. */
	if (!k->done || k->rc == CURLE_OK || (w->stream && k->headed))
		return 0;
	if (k->body.overflow && k->status / 100 == 2)
		return err_set(err, ERR_TOO_LARGE, "'%s' answers more than %zu bytes", url, w->max);
	/* A refusal whose words are too long is one. */
	return k->body.overflow ? 0 : registry_failed(k, url, err);
}

static void registry_ask_close(struct registry_ask *k)
{
	if (k->h) {
		(void)sym_multi_remove(k->c->multi, k->h);
		sym_cleanup(k->h);
	}
	if (k->headers)
		sym_slist_free(k->headers);
	buf_release(&k->body);
}

void registry_ask_release(struct registry_ask *k)
{
	if (!k->c)
		return;
	registry_ask_close(k);
	arena_release(&k->a);
	*k = (struct registry_ask){ 0 };
}

int registry_ask(struct registry_ask *k, struct registry_call *c, const struct registry_endpoint *e,
		 const struct registry_want *w, struct err *err)
{
	_cleanup_free_ char *url = xstrdup(w->url);

	for (int i = 0; i <= REDIRECTS_MAX; i++) {
		char *next = NULL;

		registry_ask_release(k);
		k->c = c;
		if (registry_once(k, e, w, url, err) < 0)
			return -1;
		if (w->post || k->status / 100 != 3)
			return 0;
		(void)sym_getinfo(k->h, CURLINFO_REDIRECT_URL, &next);
		if (!next)
			return 0;
		if (!registry_may_follow(sv_from(url), sv_from(next)))
			return err_set(err, ERR_FORBIDDEN,
				       "failed to do request: '%s' sends to '%s', which is not followed", url, next);
		next = xstrdup(next);
		free(url);
		url = next;
	}
	return err_set(err, ERR_UNAVAILABLE, "failed to do request: Get \"%s\": stopped after %d redirects", w->url,
		       REDIRECTS_MAX);
}

int registry_ask_more(struct registry_ask *k, struct err *err)
{
	if (!k->body.n && !k->done && registry_drive(k, false, err) < 0)
		return -1;
	if (k->body.n || k->rc == CURLE_OK)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "reading a blob: %s", *k->words ? k->words : sym_strerror(k->rc));
}

/* The first of its "errors", in a line. Not of another host, whose words are nobody's to read. */
static struct sv registry_words(struct arena *a, const struct registry_ask *k)
{
	struct val *doc = k->foreign ? NULL : json_decode(a, buf_sv(&k->body), NULL, NULL);
	const struct val *first = val_at(val_member_sv(doc, SV("errors")), 0);
	struct sv code = val_str(val_member_sv(first, SV("code"))), text = val_str(val_member_sv(first, SV("message")));
	char *line;

	if (!code.n && !text.n)
		return SV("");
	line = arena_cstr(a, utf8_cut(arena_svf(a, ": %.*s: %.*s", SV_ARG(code), SV_ARG(text)), WORDS_MAX));
	for (char *p = line; *p; p++)
		*p = (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p;
	return sv_from(line);
}

int registry_refused(const struct registry_ask *k, const char *url, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv words = registry_words(&a, k);

	if (k->status == 404)
		return err_set(err, ERR_NOT_FOUND, "not found");
	if (k->status == 401 || k->status == 403)
		return err_set(err, ERR_FORBIDDEN,
			       "pull access denied, repository does not exist or may require authorization: server "
			       "message: insufficient_scope: authorization failed%.*s",
			       SV_ARG(words));
	return err_set(err, k->status == 429 ? ERR_TOO_MANY_REQUESTS : ERR_UNAVAILABLE,
		       "unexpected status code %s: %ld%.*s", url, k->status, SV_ARG(words));
}
