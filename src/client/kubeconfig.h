/* kubeconfig.h - how to reach a cluster and as whom, from the file that kubectl reads.
 *
 * One context of one file (upstream: clientcmd, v1.Config): its cluster and its user, with data
 * that stands in the file or in files beside it. Relative paths start at the kubeconfig's
 * folder. Where both are given, inline data goes before files and a token before a token file,
 * as clientcmd has it.
 *
 * What would need a program or a protocol of its own is refused by name, never passed over:
 * exec plugins, auth providers, basic authentication, proxy-url. Fields that only kubectl
 * minds (preferences, extensions, as-uid, colours) are not looked at.
 *
 * Everything is in the arena, which must outlive the struct. The file may be hostile: it is
 * bounded, and a fuzz target reads it.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#define KUBECONFIG_MAX ((size_t)4 << 20)

struct kubeconfig {
	const char *context; /* the name it was chosen by */
	const char *server;
	const char *server_name; /* tls-server-name; NULL: none */
	struct sv ca_pem, cert_pem, key_pem;
	bool insecure;
	const char *token, *token_file; /* at most one; NULL: none */
	const char *ns;			/* of the context; NULL: none */
	const char *impersonate_user;	/* "as"; NULL: none */
	const char *const *impersonate_groups;
};

/* context NULL: the file's current-context. Errors name the file and the key
 * ("'/etc/x.yaml': users[admin].user.client-key: cannot read ..."). */
int kubeconfig_load(struct arena *a, const char *path, const char *context, struct kubeconfig *ret, struct err *err);
/* The same from text. label stands for the file's name in errors; dir is where relative paths
 * start, NULL when files may not be read at all. */
int kubeconfig_parse(struct arena *a, struct sv text, const char *label, const char *dir, const char *context,
		     struct kubeconfig *ret, struct err *err);
