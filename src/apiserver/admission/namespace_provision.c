/* NamespaceAutoProvision: the namespace that something is made in is made first where it is not there. It is the
 * server that makes it, not who asked: who may make a pod there needs no right to make namespaces. A dry run makes
 * none, and is then told that there is none. */
#include "apiserver/admission/plugins.h"
#include "apiserver/admission/setup.h"

#include <stdlib.h>

struct provision {
	struct api_req req; /* of the server's own */
	struct arena arena;
	struct req_ticket *ticket;
	struct sv name;
};

static void provision_forget(void *why)
{
	if (why)
		err_release(why);
	free(why);
}

/* Somebody else may have been faster. */
static void provision_done(struct api_req *q, struct obj *o, struct err *err, void *ctx)
{
	struct provision *p = ctx;
	struct req_ticket *ticket = p->ticket;
	struct arena arena = p->arena;
	struct err *why = NULL;

	(void)q;
	(void)o;
	if (err && err->reason != ERR_ALREADY_EXISTS) {
		why = xcalloc(1, sizeof(*why));
		err_move(why, err);
	} else if (err) {
		err_release(err);
	}
	arena_release(&arena);
	free(p);
	req_resume(ticket, why, provision_forget);
}

static void provision_make(struct api_req *q, void *ctx)
{
	struct provision *p = ctx;
	struct val *doc = val_new_map(q->arena);

	val_set_str(q->arena, val_set_map(q->arena, doc, F_metadata), F_name, p->name);
	q->server->admission->create(q, RES(core_namespaces), SV(""), doc, provision_done, p);
}

static int provision_mutate(const struct admission *a, struct err *err)
{
	static struct sv masters = { "system:masters", sizeof("system:masters") - 1 };
	struct provision *p;
	void *why;

	if (!a->res->namespaced || !a->ns.n || a->q->dry_run)
		return 0;
	if (req_result(a->q, &why))
		return why ? admission_forbid(a, err, "%s", err_msg(why)) : 0;
	if (registry_peek(a->q, RES(core_namespaces), SV(""), a->ns))
		return 0;
	p = xcalloc(1, sizeof(*p));
	p->name = arena_sv(&p->arena, a->ns);
	p->req = (struct api_req){
		.server = a->q->server,
		.arena = &p->arena,
		.trusted = true,
		.user = { .name = SV("system:apiserver"), .groups = &masters, .n_groups = 1 },
		.user_agent = SV("kube-apiserver"),
	};
	p->ticket = req_suspend(a->q, "its namespace to be made", NULL, NULL);
	api_req_post(&p->req, provision_make, p);
	return REQ_LATER;
}

const struct admission_plugin admission_namespace_provision = { .name = "NamespaceAutoProvision",
								.mutates = ON_CREATE | ON_SUBRESOURCES,
								.mutate = provision_mutate,
								.slow = true };
