/* kubeconfig.h - a program that is asked about all there is, by a kubeconfig: whom its current context leads to, and as
 * whom. For authentication and authorization by webhook.
 *
 * Relative paths start at the folder of the file. Read once; immutable. What is wrong with it is an error here, not at
 * the first call.
 */
#pragma once

#include "apiserver/webhook/credentials.h"
#include "apiserver/webhook/webhook.h"

struct webhook_peer {
	struct arena arena;
	struct webhook_credentials *users;
	const struct webhook_credential *as; /* or NULL; as long as the peer */
	struct webhook_target *target;
};

int webhook_peer_read(struct webhook_peer *p, const char *path, struct err *err);
void webhook_peer_release(struct webhook_peer *p);
