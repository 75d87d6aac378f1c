/* client_kit.h - the fixture of the client suite: an API server, two clients of the transport under
 * test, objects by one line, and a recorder of watch events.
 *
 * Waiting is for conditions, with a limit that only a failure reaches. */
#pragma once

#include "unit.h"

#include "apiserver/apiserver.h"
#include "base/vec.h"
#include "client/client.h"
#include "client/informer.h"
#include "codec/json.h"

#include <pthread.h>
#include <stdlib.h>

#define CM RES(core_configmaps)

struct rig {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct client *c;	 /* of an administrator, named "conformance" */
	struct client *stranger; /* who may do nothing */
	/* https only */
	struct arena arena;
	struct ev_loop *loop;
	struct http_server *http;
	pthread_t thread;
};

int rig_setup(void **state);
int rig_teardown(void **state);
int clean(void **state); /* deletes the ConfigMaps of "conf" */

struct obj *parse(const char *json);
struct obj *cm(struct rig *r, const char *name, const char *key, const char *value);
struct obj *make_cm(struct rig *r, const char *name, const char *key, const char *value);
struct obj *make_cm_labelled(struct rig *r, const char *name, const char *label, const char *value);
struct obj *make_pod(struct rig *r, const char *name);
void make_sa(struct rig *r, const char *name);
int patch_text(struct rig *r, const struct resource *res, const char *name, enum patch_type t, const char *json,
	       const struct client_write_opts *o, struct obj **ret, struct err *err);

/* What a watch told. Bookmarks are not recorded. */
struct seen_event {
	enum watch_type type;
	struct obj *o;
};
struct seen {
	struct client *c;
	struct client_watch *w;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	VEC(struct seen_event) events;
	bool ended;
	enum err_reason why;
	size_t stop_at;	    /* unwatch from this event's callback; 0: never */
	bool hold, holding; /* callbacks wait */
	int inside;	    /* callbacks under way: never two */
};
void seen_init(struct seen *s, struct client *c);
void seen_start(struct seen *s, const struct resource *r, const char *ns, const struct client_list_opts *o);
void seen_watch(struct seen *s, struct client *c, const struct resource *r, const char *ns,
		const struct client_list_opts *o); /* both */
void seen_wait(struct seen *s, size_t n);
void seen_wait_rev(struct seen *s, struct rig *r, const char *name); /* until the newest version came, in order */
void seen_expect(struct seen *s, size_t i, enum watch_type t, const char *name);
enum err_reason seen_end(struct seen *s); /* waits for it */
void seen_let_go(struct seen *s);
void seen_close(struct seen *s);

/* Counts what an informer reports. */
struct tally {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int adds, dels;
};
extern const struct informer_handler tally_handler;
void tally_init(struct tally *t);
void tally_wait(struct tally *t, int adds, int dels);
void tally_release(struct tally *t);
