/* setup.h - which plugins of admission are on in this server, and what its administrator says of them.
 *
 * Names, defaults and the AdmissionConfiguration file are upstream's (v1.37), with one difference: NodeRestriction is
 * on unless it is switched off, for nodes join with credentials of their own. The plugins that are ours alone cannot be
 * switched off. An unknown name is an error of the start.
 *
 * The file is read once: each plugin is handed what stands there of it, or in a file of its own that it names.
 *
 * Made before the first request, then read by any thread. What of it a plugin changes is behind a lock of its own.
 */
#pragma once

#include "apiserver/admission/manifests.h"
#include "apiserver/admission/pod_security.h"

struct admission_set {
	struct arena arena;
	uint64_t on; /* bits by place in admission_chain */
	struct ps_config pod_security;
	struct event_limits *event_limits; /* NULL: none */
	/* Of PodTolerationRestriction: what pods are given, and what they may; of PodNodeSelector: by namespace, and
	 * clusterDefaultNodeSelector. NULL: nothing is said. */
	const struct val *tolerations_usual, *tolerations_allowed, *node_selectors;
	struct image_policy *image_policy;	     /* the same */
	struct quota_limited *quota_limited;	     /* NULL: nothing is */
	const char *hook_kubeconfigs[3];	     /* as whom webhooks are called: files, NULL-terminated */
	struct manifests *manifests[_MANIFESTS_MAX]; /* configurations out of files; NULL: none */
	/* How a plugin makes an object of its own: registry_create_async(), which stands above them. Set by the server.
	 */
	void (*create)(struct api_req *q, const struct resource *r, struct sv ns, struct val *doc,
		       void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx), void *ctx);
};

static inline bool admission_is_on(const struct admission_set *s, unsigned place)
{
	return s->on >> place & 1;
}

struct admission_set *admission_set_new(const struct apiserver_opts *o, struct err *err); /* NULL with err */
/* One plugin's configuration, in s->arena or longer. dir: the folder of the file it stands in, where the paths that it
 * names start. */
int admission_set_configure(struct admission_set *s, struct sv name, const struct val *config, const char *dir,
			    struct err *err);
struct admission_set *admission_set_free(struct admission_set *s);
/* Looks at the files of configurations again. One at a time. */
void admission_reload(struct apiserver *s);
