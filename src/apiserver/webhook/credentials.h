/* credentials.h - as whom webhooks are called: the kubeconfigs that an AdmissionConfiguration names.
 *
 *	--admission-control-config-file ─▶ plugins[...AdmissionWebhook] ─▶ kubeConfigFile (admission/setup.h) ─▶ users
 *
 * A user's name is whom it is for, as upstream has it: a Service's NAME.NAMESPACE.svc (with :PORT where that is not
 * 443), the host (and port) of a URL, either with leading labels replaced by a star ("*.example.com"), or "*" for all.
 * The most exact one counts. A user has a client certificate with its key, a token, or a name and password.
 *
 * Read once, at the start; what is wrong with a file keeps the server from starting. Relative paths start at the folder
 * of the file they stand in. The files may be hostile: they are bounded, and what they say is checked.
 *
 * Threads: immutable.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

struct webhook_credential {
	struct sv name;
	struct sv cert_pem, key_pem; /* or empty */
	struct sv authorization;     /* the header, or "" */
};

struct webhook_credentials;

struct webhook_credentials *webhook_credentials_new(void);
/* The users of the kubeconfig at path. */
int webhook_credentials_read(struct webhook_credentials *c, const char *path, struct err *err);
/* The users of a kubeconfig as a document; dir: where its relative paths start, NULL: it may name no files. */
int webhook_credentials_add(struct webhook_credentials *c, const struct val *kubeconfig, const char *dir,
			    struct err *err);
/* The user of exactly that name, or NULL. */
const struct webhook_credential *webhook_credentials_named(const struct webhook_credentials *c, struct sv name);
struct webhook_credentials *webhook_credentials_free(struct webhook_credentials *c);
/* For that host and port; NULL: none. c may be NULL. */
const struct webhook_credential *webhook_credentials_for(const struct webhook_credentials *c, struct sv host, int port);
