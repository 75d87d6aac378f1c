#include "cli/home_local.h"

#include "cli/daemon.h"
#include "object/node_labels.h"

#include <stdlib.h>

/* The network's parts read what kube-proxy reads, and a little more: all of it a node may, too. */
static struct client *home_local_client(void *ctx, enum agent_as who, const char *name)
{
	static const char *const nodes[] = { "system:nodes", NULL };
	struct home_local *h = ctx;

	switch (who) {
	case AGENT_KUBELET:
	case AGENT_NETWORK:
		return apiserver_client(h->api, name, h->user, nodes);
	case AGENT_STORAGE:
		return apiserver_client_account(h->api, name, "local-path-provisioner");
	}
	return NULL;
}

static int home_local_serving(void *ctx, const char *node_ips, struct arena *a, struct sv *ret_cert, struct sv *ret_key,
			      struct err *err)
{
	struct home_local *h = ctx;
	const char *names[] = { h->o->node.node_name, "localhost", NULL };
	const char *addrs[] = { "127.0.0.1", NULL, NULL, NULL };
	struct sv rest = sv_from(node_ips), one;

	for (size_t i = 1; i < ARRAY_LEN(addrs) - 1 && sv_split(&rest, ' ', &one); i++)
		addrs[i] = arena_cstr(a, one);

	return apiserver_issue_server_cert(h->api, a, h->user, names, addrs, ret_cert, ret_key, err);
}

void home_local_init(struct home_local *h, struct env *env, struct apiserver *api, const struct server_opts *o)
{
	static const char *const annotations[] = { NODE_KEY_ANNOTATION "=" NODE_KEY_SERVER, NULL };

	*h = (struct home_local){
		.home = { .env = env,
			  .facts = &o->facts,
			  .client = home_local_client,
			  .serving = home_local_serving,
			  .node_annotations = annotations,
			  .ca_pem = apiserver_ca_pem(api),
			  .given_up = daemon_is_to_end,
			  .ctx = h },
		.api = api,
		.o = o,
		.user = xasprintf("system:node:%s", o->node.node_name),
	};
}

void home_local_release(struct home_local *h)
{
	free(h->user);
	h->user = NULL;
}
