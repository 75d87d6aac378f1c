/* `caravel etcd`, or this program under the name etcd: what a test control plane asks of one. */
#include "base/buf.h"
#include "base/log.h"
#include "base/version.h"
#include "cli/agent.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/stalls.h"
#include "cli/test_plane.h"
#include "codec/json.h"
#include "ev/ev.h"
#include "net/http.h"
#include "net/http_client.h"
#include "object/url.h"
#include "store/disk/dirlock.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define URLS_MAX 8
#define ETCD_PORT 2379
#define ASK_TIMES 200
#define ASK_PAUSE_NS (50 * NS_PER_MS)
#define ASK_TIMEOUT_NS (5 * NS_PER_SEC)
#define ANSWER_MAX ((size_t)64 * 1024)
#define CONNECTIONS_MAX 256
#define STOP_GRACE_NS NS_PER_SEC
#define ETCD_VERSION "3.6.0" /* whose /version this is like */

struct etcd {
	struct arena arena;
	const char *data_dir, *client_urls, *without;
	bool no_sync, version, without_bool;
	struct env *env;
	struct ev_loop *loop;
	struct http_server *servers[URLS_MAX];
	size_t n_servers;
	struct sv about; /* the answer at TEST_PLANE_PATH */
};

/* --- flags --- */

/* What etcd has flags for and there is nothing of here: no peers, no log of its own, no database to tune. */
static const char *const etcd_without[] = {
	"name",
	"wal-dir",
	"snapshot-count",
	"heartbeat-interval",
	"election-timeout",
	"initial-election-tick-advance",
	"listen-peer-urls",
	"initial-advertise-peer-urls",
	"initial-cluster",
	"initial-cluster-state",
	"initial-cluster-token",
	"advertise-client-urls",
	"listen-metrics-urls",
	"max-snapshots",
	"max-wals",
	"max-txn-ops",
	"max-request-bytes",
	"max-concurrent-streams",
	"quota-backend-bytes",
	"backend-bbolt-freelist-type",
	"backend-batch-interval",
	"backend-batch-limit",
	"grpc-keepalive-min-time",
	"grpc-keepalive-interval",
	"grpc-keepalive-timeout",
	"auto-compaction-retention",
	"auto-compaction-mode",
	"log-level",
	"log-outputs",
	"log-format",
	"logger",
	"metrics",
	"cors",
	"host-whitelist",
	"auth-token",
	"compaction-batch-limit",
	"compaction-sleep-interval",
	"watch-progress-notify-interval",
	"feature-gates",
	"experimental-compaction-batch-limit",
	"experimental-watch-progress-notify-interval",
};
static const char *const etcd_without_bools[] = {
	"strict-reconfig-check",
	"pre-vote",
	"enable-pprof",
	"socket-reuse-port",
	"socket-reuse-address",
	"force-new-cluster",
	"experimental-initial-corrupt-check",
};

static size_t etcd_options(struct etcd *e, struct option *t)
{
	const struct option own[] = {
		{ "data-dir", 0, OPT_STRING, &e->data_dir, "DIR",
		  "where kube-apiserver is to keep its database, in DIR/" TEST_PLANE_DIR " (default.etcd)" },
		{ "listen-client-urls", 0, OPT_STRING, &e->client_urls, "URLS",
		  "where to answer (http://localhost:2379)" },
		{ "unsafe-no-fsync", 0, OPT_BOOL, &e->no_sync, NULL,
		  "kube-apiserver's writes need not outlive the machine" },
		{ "version", 0, OPT_BOOL, &e->version, NULL, "print the version, and end" },
	};
	size_t n = ARRAY_LEN(own);

	memcpy(t, own, sizeof(own));
	for (size_t i = 0; i < ARRAY_LEN(etcd_without); i++)
		t[n++] = (struct option){ etcd_without[i], 0,	    OPT_STRING,
					  &e->without,	   "VALUE", "taken, and of no consequence" };
	for (size_t i = 0; i < ARRAY_LEN(etcd_without_bools); i++)
		t[n++] = (struct option){ etcd_without_bools[i], 0,    OPT_BOOL,
					  &e->without_bool,	 NULL, "taken, and of no consequence" };
	return n;
}

/* An address to listen on or to ask at, and the port. */
static int etcd_url(struct arena *a, const char *flag, struct sv text, const char **ret_host, int *ret_port,
		    struct err *err)
{
	int64_t port = ETCD_PORT;
	struct url u;

	if (!url_parse(a, sv_trim(text), &u, NULL) || !url_hostname(&u).n || !sv_is(u.scheme, "http") ||
	    (url_port(&u).n && !sv_to_i64(url_port(&u), &port)) || port < 0 || port > UINT16_MAX)
		return err_set(
		    err, ERR_INVALID, "--%s takes URLs like http://127.0.0.1:2379, not '%.*s'%s", flag, SV_ARG(text),
		    sv_starts(text, SV("https:")) ? ": Caravel's etcd knows no secrets, and speaks http" : "");
	*ret_host = sv_is(url_hostname(&u), "localhost") ? "127.0.0.1" : arena_cstr(a, url_hostname(&u));
	*ret_port = (int)port;
	return 0;
}

/* --- answers, on the loop --- */

static void etcd_answer(struct http_req *r, void *ctx)
{
	struct etcd *e = ctx;

	if (sv_is(r->path, "/health"))
		http_respond_text(r, 200, "application/json", SV("{\"health\":\"true\",\"reason\":\"\"}"));
	else if (sv_is(r->path, "/livez") || sv_is(r->path, "/readyz"))
		http_respond_text(r, 200, "text/plain; charset=utf-8", SV("ok\n"));
	else if (sv_is(r->path, "/version"))
		http_respond_text(r, 200, "application/json",
				  SV("{\"etcdserver\":\"" ETCD_VERSION "\",\"etcdcluster\":\"" ETCD_VERSION
				     "\",\"storage\":\"" ETCD_VERSION "\"}"));
	else if (sv_is(r->path, TEST_PLANE_PATH))
		http_respond_text(r, 200, "application/json", e->about);
	else
		http_respond_text(
		    r, 404, "text/plain; charset=utf-8",
		    SV("This is Caravel's etcd for tests: it has /health and /version, and no keys. What the "
		       "API server stores is in a database of its own.\n"));
}

/* --- its life --- */

static void etcd_loop(void *ctx)
{
	ev_loop_run(ctx);
}

static int etcd_listen(struct etcd *e, struct err *err)
{
	struct sv rest = sv_from(e->client_urls), one;

	while (sv_split(&rest, ',', &one)) {
		const char *host;
		int port;

		if (e->n_servers == URLS_MAX)
			return err_set(err, ERR_INVALID, "--listen-client-urls takes up to %d URLs", URLS_MAX);
		if (etcd_url(&e->arena, "listen-client-urls", one, &host, &port, err) < 0)
			return -1;
		e->servers[e->n_servers] = http_server_start(&e->loop, 1,
							     &(struct http_server_opts){
								 .bind_address = host,
								 .port = port,
								 .max_body = ANSWER_MAX,
								 .max_connections = CONNECTIONS_MAX,
								 .handler = etcd_answer,
								 .ctx = e,
							     },
							     err);
		if (!e->servers[e->n_servers])
			return err_wrap(err, "--listen-client-urls %.*s", SV_ARG(one));
		log_info("etcd", "answering, and kube-apiserver stores", "url", "%.*s", SV_ARG(one));
		e->n_servers++;
	}
	return 0;
}

static void etcd_about(struct etcd *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *doc = val_new_map(&e->arena);

	val_set_str_sv(&e->arena, doc, SV("dataDir"), sv_from(e->data_dir));
	val_set_str_sv(&e->arena, doc, SV("noSync"), e->no_sync ? SV("true") : SV("false"));
	json_encode(&b, doc);
	e->about = arena_sv(&e->arena, buf_sv(&b));
}

static int etcd_run(struct etcd *e, struct err *err)
{
	int lock, rc;

	if (data_dir_make(&e->arena, &e->data_dir, err) < 0 || (lock = dirlock_take(e->data_dir, err)) < 0)
		return err_wrap(err, "--data-dir");
	etcd_about(e);
	e->env = daemon_begin(e->data_dir);
	e->loop = ev_loop_new(err);
	rc = e->loop ? etcd_listen(e, err) : -1;
	/* Also after a failure: what has begun on the loop ends on it. */
	if (e->loop && env_thread(e->env, "network", etcd_loop, e->loop) < 0)
		rc = err_set(err, ERR_UNAVAILABLE, "cannot start a network thread");
	if (rc == 0)
		log_info("etcd", "stopping", "signal", "%s", strsignal(daemon_wait(NULL)));
	for (size_t i = 0; i < e->n_servers; i++)
		http_server_stop(e->servers[i], STOP_GRACE_NS);
	if (e->loop)
		ev_loop_stop(e->loop);
	env_real_free(e->env); /* waits for the thread */
	stalls_unwatch();
	if (e->loop)
		ev_loop_free(e->loop);
	close(lock);
	return rc;
}

int cmd_etcd(int argc, char **argv)
{
	struct option table[ARRAY_LEN(etcd_without) + ARRAY_LEN(etcd_without_bools) + 8];
	struct etcd e = { .data_dir = "default.etcd", .client_urls = "http://localhost:2379" };
	struct err err = ERR_INIT;
	int rc = cli_options_parse(&e.arena, table, etcd_options(&e, table), argc, argv, NULL, NULL, &err);

	if (rc == 0 && e.version)
		puts("etcd Version: " ETCD_VERSION " (caravel v" CARAVEL_VERSION
		     ", for tests: it stores nothing itself)");
	else if (rc == 0)
		rc = etcd_run(&e, &err);
	arena_release(&e.arena);
	return rc < 0 ? cli_fail_err(&err) : 0;
}

/* --- for kube-apiserver --- */

static int etcd_read_about(struct arena *a, const char *url, const struct http_response *r, struct test_plane *ret,
			   struct err *err)
{
	struct val *doc = r->status == 200 ? json_decode(a, r->body, NULL, NULL) : NULL;
	struct sv dir = doc ? val_str(val_member_sv(doc, SV("dataDir"))) : SV("");

	if (!sv_starts(dir, SV("/")) || memchr(dir.p, '\0', dir.n))
		return err_set(
		    err, ERR_INVALID,
		    "what answers at %s is no etcd: --etcd-servers takes the URLs of one, or of a link named etcd to "
		    "this program",
		    url);
	*ret = (struct test_plane){ .data_dir = arena_cstr(a, dir),
				    .no_sync = val_is(val_member_sv(doc, SV("noSync")), "true") };
	/* A directory of ours, and not whatever somebody who answers there would have us write to. */
	if (access(ret->data_dir, R_OK | W_OK | X_OK) < 0)
		return err_set_errno(err, errno, "the etcd at %s says that its directory is '%s'", url, ret->data_dir);
	return 0;
}

/* Is it an etcd, by what it says of its version? */
static bool etcd_stores(struct http_pool *pool, struct arena *a, const struct http_endpoint *ep)
{
	struct http_response r;

	return http_call(pool, a, ep, "GET", "/version", NULL, 0, SV(""), ASK_TIMEOUT_NS, ANSWER_MAX, &r, NULL) == 0 &&
	       r.status == 200 && sv_find_sv(r.body, SV("\"etcdserver\"")) >= 0;
}

int etcd_ask(struct arena *a, const char *servers, struct test_plane *ret, struct err *err)
{
	struct sv rest = sv_from(servers), first = SV("");
	struct http_endpoint ep = { .host = NULL };
	struct http_pool *pool;
	struct http_response r;
	int rc = -1;

	(void)sv_split(&rest, ',', &first);
	if (etcd_url(a, "etcd-servers", first, &ep.host, &ep.port, err) < 0)
		return -1;
	pool = http_pool_new();
	for (int i = 0; i < ASK_TIMES && rc < 0; i++) {
		err_release(err);
		rc = http_call(pool, a, &ep, "GET", TEST_PLANE_PATH, NULL, 0, SV(""), ASK_TIMEOUT_NS, ANSWER_MAX, &r,
			       err);
		if (rc < 0 && !daemon_pause(ASK_PAUSE_NS))
			break;
	}
	if (rc < 0)
		err_wrap(err, "--etcd-servers %s: no etcd answers", servers);
	else if (r.status == 404 && etcd_stores(pool, a, &ep))
		*ret = (struct test_plane){ .data_dir = NULL };
	else
		rc = etcd_read_about(a, servers, &r, ret, err);
	http_pool_free(pool);
	return rc;
}
