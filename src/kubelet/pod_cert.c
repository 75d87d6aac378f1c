#include "kubelet/pod_cert.h"

#include <stdlib.h>
#include <string.h>

static void pod_cert_wipe(char *key)
{
	if (key)
		explicit_bzero(key, strlen(key));
	free(key);
}

void pod_cert_forget_request(struct pod_cert *it)
{
	free(TAKE(it->asked));
	free(TAKE(it->asked_uid));
}

void pod_cert_forget_key(struct pod_cert *it)
{
	pod_cert_wipe(TAKE(it->asked_key));
	free(TAKE(it->asked_stub));
}

void pod_cert_take(struct pod_cert *it, struct sv chain)
{
	pod_cert_wipe(it->key);
	free(it->chain);
	it->key = TAKE(it->asked_key);
	it->chain = xstrndup(chain.p, chain.n);
	pod_cert_forget_request(it);
	pod_cert_forget_key(it);
}

void pod_cert_free(void *cert)
{
	struct pod_cert *it = cert;

	pod_cert_forget_request(it);
	pod_cert_forget_key(it);
	pod_cert_wipe(it->key);
	free(it->chain);
	free(it->failed_why);
	free(it->refused);
	free(it);
}
