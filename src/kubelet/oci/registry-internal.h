/* registry-internal.h - shared by registry*.c; nobody else includes it. */
#pragma once

#include "base/buf.h"
#include "kubelet/oci/registry.h"
#include "kubelet/oci/registry_challenge.h"

#include <curl/curl.h>

struct registry_call {
	struct arena a;
	struct registry_endpoint *e;
	struct sv *authorization; /* of each endpoint: "Bearer …", "Basic …"; "" while none is known */
	size_t n, at;		  /* at: the one that had the manifest */
	int stop_fd;
	CURLM *multi;
};

/* One request and its answer. */
struct registry_ask {
	struct registry_call *c;
	CURL *h;
	struct curl_slist *headers;
	struct buf body; /* a stream's: what was not read yet */
	bool stream, paused, headed, done, foreign,
	    local; /* foreign: of another host; local: it was refused for that */
	CURLcode rc;
	long status;
	struct registry_challenge challenge;
	struct sv media_type, range; /* Content-Type, Content-Range */
	struct arena a;
	char words[CURL_ERROR_SIZE];
};

/* url, with our own Authorization as far as it is of the endpoint's host; redirects are followed. A stream is returned
 * from when its head is there. post: a form, or NULL. 0 whatever the status is. */
struct registry_want {
	const char *url, *accept, *range, *post;
	struct sv authorization;
	size_t max; /* of the body */
	bool stream;
};
int registry_ask(struct registry_ask *k, struct registry_call *c, const struct registry_endpoint *e,
		 const struct registry_want *w, struct err *err);
/* More of a stream's body, or its end. */
int registry_ask_more(struct registry_ask *k, struct err *err);
void registry_ask_release(struct registry_ask *k);
int registry_multi_begin(struct registry_call *c, struct err *err);
void registry_multi_end(struct registry_call *c);
/* What the status means, with what the registry says of it. */
int registry_refused(const struct registry_ask *k, const char *url, struct err *err);

/* As registry_ask(), answering a 401 once. i: whom. */
int registry_ask_authorized(struct registry_ask *k, struct registry_call *c, size_t i, struct registry_want *w,
			    struct err *err);
