/* webhook-internal.h - what the files of src/apiserver/webhook share. */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/webhook/credentials.h"
#include "apiserver/webhook/webhook.h"
#include "net/http_client.h"

struct webhook_target {
	atomic_int refs;
	char *url;	 /* owned, as shown */
	char *path;	 /* owned, "/..." */
	char *authority; /* owned: the URL's host and port, as it has them */
	/* A URL's, or a Service's. */
	char *host, *ns, *name;	 /* owned; ns and name NULL: a URL */
	webhook_where_fn *where; /* by its host; NULL: none of ours */
	int port;
	bool given;	  /* the host is an address, or localhost */
	struct sv ca_pem; /* owned */
	/* With a certificate of ours of its own, whatever credentials say; owned, or SV_NULL. */
	bool shown, unchecked;
	struct sv cert_pem, key_pem;
	struct err wrong; /* what it is no target for */
	pthread_mutex_t lock;
	struct tls_ctx *tls; /* under lock: made for the first call */
};

/* The TLS context of its calls, which are made as w (NULL: nobody; the same each time): a view as long as t. NULL with
 * err. */
struct tls_ctx *webhook_target_tls(struct webhook_target *t, const struct webhook_credential *w, struct err *err);

/* Where a call goes now: *ret_host is owned by the caller. avoid: an address that did not answer, or NULL. */
int webhook_resolve(struct apiserver *s, const struct webhook_target *t, const char *avoid, char **ret_host,
		    int *ret_port, struct err *err);

/* What an answer of that status means, in the words of upstream's clients. */
int webhook_status_err(int status, struct sv body, struct err *err);
