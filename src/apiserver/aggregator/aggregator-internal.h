/* aggregator-internal.h - what the files of src/apiserver/aggregator share; nobody else includes it. */
#pragma once

#include "apiserver/aggregator/aggregator.h"
#include "apiserver/aggregator/spec.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/webhook/webhook.h"
#include "base/list.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "client/foreign.h"
#include "net/http.h"

/* The label of those that are made here. */
#define AGG_MANAGED "kube-aggregator.kubernetes.io/automanaged"
#define AGG_PERIOD_NS (30 * NS_PER_SEC)		 /* between two questions to one that answers */
#define AGG_TIMEOUT_NS (5 * NS_PER_SEC)		 /* of each, as upstream */
#define AGG_LIST_MAX ((size_t)512 * 1024)	 /* bytes of its discovery */
#define AGG_ITEMS_MAX ((size_t)16 * 1024 * 1024) /* bytes of a list of objects */
#define AGG_RESOURCES_MAX ((size_t)2000)	 /* and resources in it */

/* A remote APIService: immutable but for what the aggregator's lock guards. */
struct agg_service {
	atomic_int refs;
	char *name, *group, *version, *svc_ns, *svc;
	int port, group_priority, version_priority;
	struct obj *obj; /* it was made of this */
	struct webhook_target *target;
	bool built_in; /* of a group version that nobody else answers */
	/* Under the lock. */
	bool available; /* as its status says */
	bool asking;	/* about its discovery */
	bool asked;	/* at least once, with the result in `failure`; NULL: it answered */
	char *failure;
	unsigned failures;	 /* in a row */
	int64_t due_ns;		 /* monotonic: to be asked again */
	int64_t left_alone_ns;	 /* and until then its server is not asked what it keeps in namespaces */
	uint64_t unavailable[6]; /* how often it turned that, by agg_reasons */
	bool openapi;		 /* it has a document of version 3, with this hash or "" */
	struct buf openapi_hash;
	struct agg_spec *spec; /* what is kept of its OpenAPI document of version 2 (specs.c), or NULL; */
	struct buf spec_tag;   /* that had this tag */
	uint64_t spec_hash;
	int64_t spec_due_ns; /* monotonic */
	bool spec_asking;
	struct buf list; /* its resources as aggregated discovery has them, JSON; empty: never known */
};

struct agg_service *agg_service_new(struct apiserver *s, struct obj *o);
/* Whom e leads to, with what is shown there: anew once there are keys, before anybody uses it. */
void agg_service_aim(struct apiserver *s, struct agg_service *e);
bool agg_service_says(const struct obj *o); /* that it is available */
struct agg_service *agg_service_ref(struct agg_service *e);
struct agg_service *agg_service_unref(struct agg_service *e);

struct aggregator {
	struct apiserver *s;
	struct env *env;
	struct client *client;
	struct api_listener listener;
	struct http_kept *kept; /* connections that requests were passed on by */
	atomic_size_t n_remote; /* entries in list */
	pthread_mutex_t lock;	/* of all below */
	pthread_cond_t idle;
	VEC(struct agg_service *) list;
	struct agg_doc *docs; /* made of these and of docs_of; dropped when either changes */
	size_t n_docs;
	const struct api_set *docs_of;
	/* The document of version 2 (specs_merged.c), JSON and protobuf: NULL, nobody asked for it yet. */
	struct agg_doc *spec_docs[2];
	openapi_own_fn *spec_own;
	const struct api_set *specs_of; /* a reference: made of these, */
	uint64_t specs_at;		/* and of the services' as of then; */
	uint64_t spec_changes;		/* and there were so many since */
	struct env_timer *spec_timer;	/* they are made anew */
	bool specs_asked;		/* for, since the task of that began last */
	bool spec_merging;		/* they are made this moment, by that task */
	pthread_mutex_t spec_making;	/* of one at a time; taken before the lock */
	struct env_timer *timer;
	struct strmap emptied; /* namespaces that are emptied, or were, by name: struct agg_emptied */
	struct list emptied_waiting, emptied_done;
	/* What controllers ask of others, by method and path: struct agg_asked (asked.c). */
	struct strmap asked;
	size_t n_asking;		    /* calls on their way, also those that nobody wants any more */
	struct list asked_news, asked_told; /* answers that nobody was told yet, and others; oldest first */
	size_t n_answers, answer_bytes;	    /* in both */
	struct list hungry;		    /* who found no room to ask, in the order they came: struct agg_wait */
	struct strmap hungry_has;	    /* the same by name */
	struct env_timer *hungry_timer;	    /* nobody is on his way who would wake them */
	size_t n_emptying;		    /* that are emptied now, */
	size_t emptying;		    /* and their tasks that run this moment */
	int64_t emptied_anywhere_ns;	    /* monotonic: until then they begin anywhere */
	int64_t cert_due_ns;		    /* these two are the task's: when the files are read again; */
	uint64_t cert_hash;		    /* what was in them; 0: not looked yet */
	unsigned refs;			    /* the server's, and one for each task, call and timer that is on its way */
	env_fn *run;			    /* the task */
	bool running, looking, again, locals, stopping, listening;
};

/* For a group version; a reference or NULL. */
struct agg_service *agg_find(struct aggregator *g, struct sv group, struct sv version, bool *ret_available);
/* Something is to be looked at, soon; the lock is held. */
void agg_wake_locked(struct aggregator *g);

/* available.c: one look at e; may write its status, may begin to ask it. */
void agg_look_at(struct aggregator *g, struct agg_service *e);
/* locals.c: the APIServices of what is served here by definitions. -1: to be tried again. */
int agg_locals(struct aggregator *g);
/* resources.c: an APIResourceList, of that group version, as the `resources` of aggregated discovery, "[...]". -1: it
 * is none. Any bytes; out is at most some times as long as they are, and AGG_RESOURCES_MAX times a row of its own. */
int agg_resources(struct sv body, struct sv group, struct sv version, struct buf *out, struct err *err);
/* front_proxy.c: what aggregated servers are shown, PEM; "" where there are no keys. */
int agg_front_proxy(struct apiserver *s, struct arena *a, struct sv *ret_cert, struct sv *ret_key, struct err *err);
/* namespaces.c: nobody asks any more what was emptied; waits for tasks that are at it, of which none waits. The lock is
 * held. */
void agg_emptied_drop(struct aggregator *g);
/* The lock is held, and is not any more: what was on its way holds g, and comes late when the server ended before. */
void agg_let_go(struct aggregator *g);
/* What is said to each when this server asks for itself, which may see everything. */
#define AGG_OWN_HEADERS ((size_t)4)
extern const struct http_header agg_own_headers[AGG_OWN_HEADERS];
/* openapi.c: asks e for its index of documents, which tells of that of its group version. */
void agg_openapi_ask(struct aggregator *g, struct agg_service *e);
/* Whether that document is in this index, any bytes, and its hash: "" when it has none that is fit for a URL. */
bool agg_openapi_hash(struct sv index, struct sv group, struct sv version, struct buf *ret);
/* asked.c: nobody has asked yet. */
void agg_asked_init(struct aggregator *g);
/* Nobody is woken by the clock any more. The lock is held. */
void agg_asked_stop(struct aggregator *g);
/* Nobody asks any more. The lock is held. */
void agg_asked_drop(struct aggregator *g);
/* waits.c, under the lock: who is woken by what is in a list, each once; and those that nobody wakes any more. */
void agg_wait(struct list *at, const struct foreign_wake *who);
void agg_waits_wake(struct list *at);
void agg_waits_drop(struct list *at);
void agg_hungry(struct aggregator *g, const struct foreign_wake *who); /* there was no room for it */
void agg_hungry_wake(struct aggregator *g, size_t n);		       /* there is, for so many */
void agg_hungry_drop(struct aggregator *g);
/* What strangers call something, as a step of a path of ours. */
bool agg_step_fine(struct sv name);
bool agg_same_server(const struct agg_service *a, const struct agg_service *b);
/* e did not answer in its time: nothing asks its server, of what it keeps, for a while. The lock is held. */
void agg_leave_alone(struct aggregator *g, struct agg_service *e);
/* specs.c: asks e for its document of version 2, when it is time. */
void agg_spec_ask(struct aggregator *g, struct agg_service *e);
/* specs_merged.c, under the lock: a part of the one document is another one; and it is needed no more. */
void agg_specs_changed(struct aggregator *g);
void agg_specs_drop(struct aggregator *g);
/* It, as told now to who asks by that set of kinds; a reference, NULL: ours alone is the one. Takes the lock itself. */
struct agg_doc *agg_specs_get(struct aggregator *g, const struct api_set *api, bool proto, openapi_own_fn *own);
void agg_specs_stop(struct aggregator *g); /* no task of it runs any more, none begins; g is stopping */
/* Why one is not available. */
extern const char *const agg_reasons[];
#define AGG_REASONS 6
/* discovery_merged.c: what is shown has changed */
void agg_docs_drop(struct aggregator *g); /* the lock is held */
/* A document that is kept, and held by those who send it; takes what is in b. */
struct agg_doc *agg_doc_new(const char *key, struct buf *b);
struct agg_doc *agg_doc_ref(struct agg_doc *k); /* NULL is fine for both */
struct agg_doc *agg_doc_unref(struct agg_doc *k);
void agg_doc_answer(struct api_req *q, struct agg_doc *k_take, const char *type);
