/* s3-internal.h - requests to an S3 service and what its answers say, for s3.c, s3_call.c, s3_list.c and s3_parts.c.
 * Nobody else includes it, but their tests. */
#pragma once

#include "base/buf.h"
#include "net/digest.h"
#include "snapshot/s3.h"

#include <curl/curl.h>

#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_ETAG_MAX ((size_t)128)
#define S3_PART (INT64_C(16) << 20)
#define S3_PARTS_MAX 10000
#define S3_UPLOAD_ID_MAX ((size_t)1024)
#define S3_LIST_MAX ((size_t)10000)
#define S3_PAGES_MAX ((size_t)1000)
#define S3_KEY_MAX ((size_t)1024) /* by S3's own rule */
#define S3_TOKEN_MAX ((size_t)8192)
#define S3_TIME_MAX ((size_t)40) /* longer is none */
#define S3_CODE_MAX ((size_t)64) /* and these are cut */
#define S3_MESSAGE_MAX ((size_t)200)

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
/* s3_parts.c: how long the parts of n bytes are, but for the last. */
int64_t s3_part_bytes(int64_t n);
/* A file of n bytes that is too long for one request. */
int s3_put_parts(const struct s3_opts *o, const char *name, int fd, int64_t n, struct err *err);

/* --- s3_list.c: what answers say --- */

/* Reads a page of ListObjectsV2 (XML) and appends what is in it to *list; *ret_next: with what the next page is asked
 * for, "": there is none. A name with control characters is passed over. Texts in a. False: it is no such page. */
struct s3_objects {
	struct s3_object *p;
	size_t n, cap;
};
bool s3_list_parse(struct arena *a, struct sv xml, struct sv folder, struct s3_objects *list, struct sv *ret_next);
/* <Error><Code>, <Message> of an answer; "" where it has none. In a. */
void s3_error_parse(struct arena *a, struct sv xml, struct sv *ret_code, struct sv *ret_message);
/* <UploadId> of an answer, in a; "": there is none that can be asked with. */
struct sv s3_upload_parse(struct arena *a, struct sv xml);
/* Of a path: all but unreserved characters and slashes by %XX. */
const char *s3_quote(struct arena *a, struct sv text, bool slashes);
