/* s3-internal.h - requests to an S3 service, for s3.c and s3_parts.c. Nobody else includes it. */
#pragma once

#include "base/buf.h"
#include "net/digest.h"
#include "snapshot/s3.h"

#include <curl/curl.h>

#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_ETAG_MAX ((size_t)128)

/* One request and its answer. */
struct s3_call {
	const struct s3_opts *o;
	struct arena a;
	CURL *h;
	struct curl_slist *headers;
	int fd; /* where a good answer's body goes, or an upload's comes from; -1 */
	bool upload;
	int64_t at, left; /* of an upload: where in fd, and how much of it */
	struct buf body;  /* of an answer that goes nowhere else */
	int errnum;	  /* of fd */
	bool began;	  /* it is known how much comes, and there is room */
	int64_t comes;	  /* -1: it does not say */
	bool refused;
	char words[CURL_ERROR_SIZE];
	char etag[S3_ETAG_MAX]; /* of an answer; "": it has none that can be repeated */
};

/* "backups/" of "backups" or "backups/"; "" of none. */
struct sv s3_folder(struct arena *a, const struct s3_opts *o);
/* The path of an object behind the bucket, quoted; in the call's arena. */
const char *s3_call_target(struct s3_call *c, const char *name);
/* target: the path and query behind the bucket, quoted; parameters in order, as they are signed. sha256: of what is
 * sent. */
int s3_call_begin(struct s3_call *c, const char *target, const char *sha256, struct err *err);
void s3_call_method(struct s3_call *c, const char *method);
/* It sends n bytes of c->fd, from `at` on. */
void s3_call_upload(struct s3_call *c, int64_t at, int64_t n);
/* It is a POST of this, which is kept until it has run. */
void s3_call_post(struct s3_call *c, struct sv xml);
/* what: "put 'x'", for messages. */
int s3_call_run(struct s3_call *c, const char *what, struct err *err);
/* Says what an answer that is none says. */
int s3_call_refused(struct s3_call *c, const char *what, long status, struct err *err);
void s3_call_release(struct s3_call *c);

/* The digest of n bytes of fd from `at` on, as hex. */
int s3_sha256(int fd, int64_t at, int64_t n, char ret[SHA256_HEX], struct err *err);
/* s3_parts.c: a file of n bytes that is too long for one request. */
int s3_put_parts(const struct s3_opts *o, const char *name, int fd, int64_t n, struct err *err);
