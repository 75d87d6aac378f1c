#include "cli/etcd_others.h"

#include "base/file.h"
#include "base/vec.h"
#include "cli/etcd_member.h"
#include "client/https.h"
#include "codec/json.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "snapshot/bolt.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX ((size_t)1 << 20)
#define ANSWER_NS (2 * NS_PER_SEC)
#define ANSWER_MAX ((size_t)64 << 10)
#define MEMBERS_MAX 16

struct others {
	struct arena *a;
	const char *own;
	VEC(struct sv) names, urls;
};

/* {"id":1,"peerURLs":[...],"name":"...","clientURLs":[...]}; one that has not started yet has no name. */
static int silent_one(struct sv key _unused_, struct sv value, uint64_t at _unused_, void *ctx,
		      struct err *err _unused_)
{
	struct others *o = ctx;
	const struct val *m = json_decode(o->a, value, NULL, NULL), *urls = val_member_sv(m, SV("clientURLs"));
	struct sv name = val_str(val_member_sv(m, SV("name")));

	if (!val_len(urls))
		urls = val_member_sv(m, SV("peerURLs"));
	if (!val_len(urls) || sv_is(name, o->own) || o->names.n == MEMBERS_MAX)
		return 0;
	vec_push(&o->names, name.n ? arena_sv(o->a, name) : SV("one that never started"));
	vec_push(&o->urls, arena_sv(o->a, val_str(val_at(urls, 0))));
	return 0;
}

static void silent_read(struct others *o, const char *data_dir)
{
	_cleanup_close_ int fd =
	    open(arena_printf(o->a, "%s/etcd/data/member/snap/db", data_dir), O_RDONLY | O_CLOEXEC);
	struct stat st;
	struct bolt b;

	if (fd >= 0 && fstat(fd, &st) == 0 && bolt_open(&b, fd, (uint64_t)st.st_size, NULL) == 0)
		(void)bolt_each(&b, SV("members"), silent_one, o, NULL);
}

static struct tls_ctx *silent_tls(struct arena *a, const char *data_dir)
{
	struct datastore_opts d = { 0 };
	struct tls_client_opts t = { 0 };

	etcd_member_way(a, data_dir, &d);
	if (file_read(a, d.ca_file, PEM_MAX, &t.ca_pem, NULL) < 0 ||
	    file_read(a, d.cert_file, PEM_MAX, &t.cert_pem, NULL) < 0 ||
	    file_read(a, d.key_file, PEM_MAX, &t.key_pem, NULL) < 0)
		return NULL;
	return tls_client_ctx(&t, NULL);
}

static bool silent_answers(struct others *o, struct http_pool *pool, struct tls_ctx *tls, struct sv url)
{
	struct http_endpoint ep = { .tls = tls };
	struct http_response r;
	struct sv prefix;
	bool is_tls;
	char *host;

	if (https_parse_url(o->a, arena_cstr(o->a, url), &is_tls, &host, &ep.port, &prefix, NULL) < 0)
		return false;
	ep.host = host;
	return http_call(pool, o->a, &ep, "GET", "/version", NULL, 0, SV(""), ANSWER_NS, ANSWER_MAX, &r, NULL) == 0;
}

const char *etcd_others_silent(struct arena *a, const char *data_dir, const char *own)
{
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *tls = silent_tls(a, data_dir);
	struct others o = { .a = a, .own = own };
	struct http_pool *pool = http_pool_new();
	const char *text = "";

	silent_read(&o, data_dir);
	for (size_t i = 0; tls && i < o.names.n; i++)
		if (!silent_answers(&o, pool, tls, o.urls.p[i]))
			text = arena_printf(a, "%s%s%.*s at %.*s", text, *text ? ", " : "", SV_ARG(o.names.p[i]),
					    SV_ARG(o.urls.p[i]));
	http_pool_free(pool);
	vec_release(&o.names);
	vec_release(&o.urls);
	return text;
}
