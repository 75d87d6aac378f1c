#include "kubelet/pod_cert.h"

#include <stdlib.h>
#include <string.h>

static void pod_cert_wipe(char *key)
{
	if (key)
		explicit_bzero(key, strlen(key));
	free(key);
}

struct pod_cert *pod_cert_new(const char *of)
{
	struct pod_cert *it = xcalloc(1, sizeof(*it));

	it->of = xstrdup(of);
	return it;
}

void pod_cert_forget_request(struct pod_cert *it)
{
	free(TAKE(it->asked));
	pod_cert_wipe(TAKE(it->asked_key));
}

void pod_cert_take(struct pod_cert *it, struct sv chain)
{
	pod_cert_wipe(it->key);
	free(it->chain);
	it->key = TAKE(it->asked_key);
	it->chain = xstrndup(chain.p, chain.n);
	pod_cert_forget_request(it);
}

void pod_cert_free(struct pod_cert *it)
{
	pod_cert_forget_request(it);
	pod_cert_wipe(it->key);
	free(it->chain);
	free(it->refused);
	free(it->of);
	free(it);
}
