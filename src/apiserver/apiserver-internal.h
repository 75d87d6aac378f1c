/* apiserver-internal.h - what the files of src/apiserver share; nobody else includes it.
 *
 * struct apiserver is a set of parts, each owned by one file pair and reached through a
 * pointer; a part's functions take the apiserver. Order of life: the functions named *_start
 * and *_load run in apiserver_new() in the order they are declared here, *_free in reverse.
 */
#pragma once

#include "apiserver/api_req.h"
#include "apiserver/apiserver.h"
#include "base/buf.h"

#include <pthread.h>
#include <stdatomic.h>

struct watchcache;
struct watched_file;
struct set_aside;
struct wc_pasts;
struct history;
struct flow;
struct metrics;
struct browser;
struct metric_set;
struct request_cells;
struct admission_cells;
struct pki;
struct authz;
struct standing_set;
struct held_set;
struct inflight_set;
struct slow_log;
struct audit;

#define CREDENTIALS_FILES 3

struct apiserver {
	struct apiserver_opts o; /* strings borrowed from the caller for the server's life */
	struct env *env;
	struct store *store;
	int64_t start_mono_ns;

	struct watchcache *wc;				     /* watchcache.c */
	struct wc_pasts *pasts;				     /* watch_past_read.c: who reads the log for watches */
	struct set_aside *aside;			     /* set_aside.c: what the cache leaves out */
	struct history *history;			     /* history/: how much of the past is kept */
	struct flow *flow;				     /* flow/: priority and fairness */
	struct metrics *metrics;			     /* metrics.c */
	struct request_cells *requests;			     /* metrics_requests.c */
	struct metric_set *counted;			     /* of the families in metrics.h, what has no cells */
	struct metric_set *slis;			     /* metrics_health.c; of the same families */
	_Atomic(struct admission_cells *) admission_cells;   /* metrics_admission.c */
	struct api_current *api;			     /* late_kind.c: the kinds that are served */
	const struct api_set *built_in;			     /* api_set_built_in(): what it is mostly */
	atomic_bool late;				     /* there are, or are about to be, others than these */
	struct documents *docs;				     /* documents.c: discovery, OpenAPI of the built-in kinds */
	struct pki *pki;				     /* pki.c; from pki_wait() on */
	struct watched_file *credentials[CREDENTIALS_FILES]; /* credentials.c; of CAs and certificates; NULL: none */
	struct authz *authz;				     /* authz/ */
	struct standing_set *standing;			     /* standing.c */
	void *strategies;	       /* registry/: state of allocators and other kind strategies */
	struct req_waits *waits;       /* steps.c */
	struct run_queue *runs;	       /* run_queue.c */
	struct inflight_set *inflight; /* inflight.c */
	struct slow_log *slow;	       /* slow.c */
	struct held_set *held;	       /* held.c */
	struct node_tunnels *tunnels;  /* node_tunnel.c */
	struct webhooks *webhooks;     /* webhook/ */
	struct node_usages *usages;
	struct quota_turns *quota_turns;	   /* admission/quota_turns.c */
	struct admission_set *admission;	   /* admission/setup.h: which plugins are on */
	struct hook_sets *hook_sets;		   /* admission/webhooks_config.c */
	struct policy_sets *policy_sets;	   /* admission/policy/ */
	_Atomic(struct hook_counts *) hook_counts; /* admission/webhooks_metrics.c */
	const struct req_plugins *plugins;	   /* steps.h; NULL: none */
	const struct req_observer *observer;	   /* the same */
	struct audit *audit;			   /* audit/; NULL: none */
	const struct media *more_media;		   /* media.h; NULL: none */
	struct masters *masters;		   /* bootstrap/masters.h; NULL: the store is ours alone */
	struct crds *crds;			   /* crd/: CustomResourceDefinitions that are served */
	struct aggregator *aggregator;		   /* aggregator/: group versions that others answer */
	struct browser *browser;		   /* browser.h; NULL: nothing is said to browsers */
	struct recent *recent;			   /* events that were encoded a moment ago */

	atomic_bool ready, unready, refusing, stopping;
	_Atomic int64_t health_told_ns; /* health.c: when a reason was last told in the log, monotonic */

	/* Guarded by lock; cond tells apiserver_shutdown() of progress. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool pki_loading;
	struct err pki_err; /* why it failed; taken by the first pki_wait() */
	struct env_timer *tick_timer;
	int64_t tick; /* minutes since start */
	bool tick_armed;
	struct env_timer *bootstrap_timer; /* of the next try of what could not be written at the start, */
	struct err bootstrap_why;	   /* for this reason; ERR_NONE: all is */
	bool bootstrap_armed;
	/* Files that are looked at each minute. */
	const char *reloading;	    /* those that are looked at now; NULL: none */
	int64_t reloading_since_ns; /* monotonic */
	bool reload_armed, reload_told;
	struct commits {
		struct list list; /* given to the store and not answered yet: struct commit (registry/commit.h) */
		size_t n;
		struct env_timer *timer;
		int64_t due_ns; /* monotonic */
		unsigned looks; /* for late ones: to come, or under way */
		bool stopping;
	} commits;
};

/* --- hooks of the parts that make the server a cluster; run by apiserver_new() --- */

/* Keys and certificates, tokens: before anything is served; not with insecure_in_memory. */
/* Begins to load or make keys and certificates, on a thread of its own where there are any: at the first start that
 * takes as long as all else, and only the end of the bootstrap needs them. */
void pki_begin(struct apiserver *s);
void pki_keep(struct apiserver *s);		    /* a minute's look at certificates that end */
int pki_wait(struct apiserver *s, struct err *err); /* until that is done; later calls return at once */
void pki_free(struct apiserver *s);
/* Before the watch cache is filled: its strategies' observe() then tells what there is. */
int authz_start(struct apiserver *s, struct err *err);
void authz_free(struct apiserver *s);
/* Writes what must exist (system namespaces, RBAC defaults, the kubernetes Service, priority
 * classes). The watch cache is filled and registry_create_async() works.
 * A write that fails is no failure of that, as what it waits for may come after us (a program that keeps keys, room on
 * the disk): it is told in the log and tried again each second; s->bootstrap_why is set until all is written. */
int bootstrap_run(struct apiserver *s, struct err *err);
/* Every minute: the namespaces, the `kubernetes` Service and the day since which token uses are noted come back when
 * somebody deleted them. A task. */
void bootstrap_keep(struct apiserver *s);

/* --- status.c --- */

/* The Status object of a failure. */
struct val *status_failure(struct arena *a, const struct err *err);
/* Status Success with details of the object (uid may be ""). */
struct val *status_success(struct arena *a, const struct resource *r, struct sv name, struct sv uid);
/* Failures about one object in upstream's words; all return -1. */
int err_not_found(struct err *err, const struct resource *r, struct sv name);
int err_exists(struct err *err, const struct resource *r, struct sv name);
int err_exists_deleting(struct err *err, const struct resource *r, struct sv name);
int err_conflict(struct err *err, const struct resource *r, struct sv name, const char *fmt, ...) _printf_(4, 5);
/* The uid a write asks for is not the object's: as upstream's store words it. */
int err_wrong_uid(struct err *err, const struct resource *r, struct sv ns, struct sv name, struct sv asked,
		  struct sv actual);
int err_modified(struct err *err, const struct resource *r, struct sv name); /* optimistic concurrency */
int err_too_old(struct err *err, int64_t asked, int64_t oldest);
int err_too_large_rev(struct err *err, int64_t asked, int64_t current);
/* 422 of an options object: `PatchOptions.meta.k8s.io "" is invalid: FIELD: TEXT`. */
int err_options(struct err *err, const char *kind, const char *field, const char *cause, const char *fmt, ...)
    _printf_(5, 6);
/* "deployments.apps" or "pods". */
const char *resource_qualified(const struct resource *r, char *out, size_t n);

/* --- request_info.c --- */

/* Fills verb, resource, ns, name, subresource from q->path and q->method. */
void request_info(struct api_req *q);
void api_req_query(struct api_req *q, struct sv query); /* of a URL, into q->params */
/* The verb as authorization names it; for other requests the method in lower case. */
struct sv request_verb(const struct api_req *q);

/* --- options.c --- */

/* dryRun, fieldManager, fieldValidation, force: checked, into q. kind: "CreateOptions", ... */
int api_options_parse(struct api_req *q, const char *kind, struct err *err);
/* The field manager of q: the option or the user agent's product name. */
struct sv field_manager_of(const struct api_req *q);

/* --- negotiate.c --- */

/* Accept: the form and the encoding of q's answer (media.h); ERR_NOT_ACCEPTABLE. */
int negotiate_accept(struct api_req *q, struct err *err);
struct sv media_type(struct sv header, struct sv *ret_params); /* type without parameters */
/* The value of a parameter of a media type ("as"); SV_NULL when absent. */
struct sv media_param(struct sv params, const char *name);
/* Whether the Accept header of q takes type (application/…), or a type with or_subtype in its name; none takes all. */
bool accepts(const struct api_req *q, struct sv type, struct sv or_subtype);

/* --- api_req.c --- */

void api_req_take_late(struct api_req *q);
/* The kinds that there are now become q->api, until its arena is reset. */
static inline void api_req_take_kinds(struct api_req *q)
{
	q->api = q->server->built_in;
	if (atomic_load_explicit(&q->server->late, memory_order_acquire))
		api_req_take_late(q);
}
/* The same for who began with a kind of which another one has the place now: q->res becomes that, in q's version.
 * False: nothing of it is served, and q->res is as it was. */
bool api_req_kind_anew(struct api_req *q);
void answer_text(struct api_req *q, int code, const char *content_type,
		 struct sv text);		       /* text in the arena or constant */
void answer_page_not_found(struct api_req *q);	       /* 404 as text: no API that could word a Status */
bool option_bool(struct api_req *q, const char *name); /* a query parameter that says yes */

/* --- answer.c --- */

/* An answer of one object (borrowed), or of a document in q's arena, as q has negotiated it. What is much work is not
 * done on a loop. */
void answer_object(struct api_req *q, int code, struct obj *o);
void answer_doc(struct api_req *q, int code, const struct val *doc);
void answer_failure(struct api_req *q, const struct err *err); /* for sinks: as a Status */
/* Whether what carries q's answer, and who gets it, take gzip. */
bool accepts_gzip(const struct api_req *q);
/* Whether an answer of so many bytes (-1: not known) is to be compressed. */
bool answer_gzips(const struct api_req *q, int code, int64_t bytes);
/* Answers with what src makes, on q's thread; by bytes() where the sink, or what the client wants, asks for the whole.
 */
void answer_source(struct api_req *q, int code, const char *content_type, struct http_source *src_take);

/* --- identity.c, impersonate.c --- */

/* Steps, in their order; each may say REQ_LATER. Who is asking: q->user. */
int pipeline_identify(struct api_req *q, struct err *err);
/* q->user becomes whom the headers name, or -1 when he may not be that. */
int pipeline_impersonate(struct api_req *q, struct err *err);
/* What q asks for, as a question about q->user. */
struct authz_attrs;
void pipeline_attrs(struct api_req *q, struct authz_attrs *ret);
/* Allowed? Fills the 403 otherwise. */
int pipeline_authorize(struct api_req *q, struct err *err);

/* --- standing.c --- */

void standing_start(struct apiserver *s);
void standing_stop(struct apiserver *s); /* no sweep runs any more */
void standing_free(struct apiserver *s);
/* Something has changed, and the indexes of authentication and authorization know it. now NULL: it is deleted. */
void standing_observe(struct apiserver *s, const struct resource *r, struct sv name, const struct obj *now);

/* --- slow.c --- */

struct slow_log *slow_log_new(void);
struct slow_log *slow_log_free(struct slow_log *l);
/* q, which is answered with code, took longer than opts.slow_request_ns. */
void slow_log_note(struct api_req *q, int code);

/* --- debug.c --- */

bool node_tunnel_serve(struct api_req *q); /* false: not one of its paths */
bool debug_serve(struct api_req *q);	   /* false: not one of its paths, or they are turned off */

/* --- operator_pages.c --- */

bool operator_serve(struct api_req *q); /* the same */

/* --- event_ttl.c --- */

void event_ttl_sweep(struct apiserver *s); /* a task: it waits for its writes */

/* --- metrics.c --- */

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
void metrics_inflight(struct apiserver *s, const struct api_req *q, int delta);
int64_t metrics_under_way(const struct apiserver *s); /* requests that are not answered, but for those that last */
void metrics_serve(struct api_req *q);

/* --- discovery.c, openapi_handler.c, health.c, version.c --- */

struct documents *documents_new(void);
struct documents *documents_free(struct documents *d);
bool discovery_serve(struct api_req *q);      /* false: not one of its paths */
bool discovery_aggregated(struct api_req *q); /* the client asks for all groups in one document */
bool openapi_serve(struct api_req *q);
bool health_serve(struct api_req *q);
void version_serve(struct api_req *q);

/* --- for the same of what others serve --- */

/* A version as aggregated discovery has it; the name of the encoding that this has. */
struct api_version;
void discovery_version(struct buf *b, const struct api_version *v);
#define DISCOVERY_AGGREGATED "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

/* A document made once and kept, with its digest. There are some for each snapshot of kinds. */
struct document {
	char *key;	/* owned */
	struct sv json; /* owned; SV_NULL where there is much of it: then it is in gzip alone */
	struct sv gzip; /* owned */
	size_t bytes;	/* of what is in gzip */
	char etag[140];
	/* Whose it is, when not the kinds': taken and given back by who sends it. */
	void *(*hold)(void *owner);
	void (*let_go)(void *owner);
	void *owner;
};
/* Of what b holds, which is taken. */
struct document *document_new(const char *key, struct buf *b);
void document_free(void *d); /* NULL is fine */
/* The document `key` of the kinds that q knows, made by make() when it is not there yet. Lives as long as q->api. b is
 * for document_piece(): a long one calls it whenever there is a piece, which need not all be in memory at once. */
typedef void document_make_fn(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b);
void document_piece(struct buf *b);
/* All of it, kept by d or in the arena. */
struct sv document_text(struct arena *a, const struct document *d);
const struct document *document_of(struct apiserver *s, const struct api_set *api, const char *key,
				   document_make_fn *make); /* as long as api is */
const struct document *document_get(struct api_req *q, const char *key, document_make_fn *make);
/* Answers with it (answer.c): ETag and If-None-Match, gzip. */
void document_answer(struct api_req *q, const struct document *d, const char *content_type, bool immutable);

/* --- gzip.c --- */

void gzip_bytes(struct buf *b, struct sv bytes);
/* The same of what comes in pieces: what there is of it each time is appended to b. */
struct gzip_pieces *gzip_begin(void);
void gzip_add(struct gzip_pieces *g, struct sv bytes, bool last, struct buf *b);
void gzip_end(struct gzip_pieces *g);
/* What gzip_bytes() made, uncompressed while it is sent; bytes: how many. let_go(owner) is called behind it. */
struct http_source *gunzip_source(struct sv gzip, size_t bytes, void (*let_go)(void *owner), void *owner);
/* A source of inner's bytes, compressed. */
struct http_source *gzip_source(struct http_source *inner_take);
