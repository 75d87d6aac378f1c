/* s3.h - a bucket of an S3 service (AWS, MinIO, Ceph, ...) as a place for snapshots.
 *
 * By libcurl, which signs (SigV4, CURLOPT_AWS_SIGV4) and is loaded by the first call (base/lazylib.h): so only in a
 * process that takes or fetches a snapshot. Requests are path-style, https://ENDPOINT/BUCKET/FOLDER/NAME, which all
 * services know. An upload is there as a whole or not at all, which is S3's promise; its digest is signed. What is
 * longer than S3_PART goes in parts of so much, read from the file as they are sent, and of more where 10,000 would not
 * do; what failed is taken back.
 *
 * Answers are somebody else's: bounded, and the list's XML is read by what it needs of it (s3_list.c, fuzzed).
 * Errors are the service's code and message, with what was asked for. Keys are never in them.
 *
 * Blocking; one thread.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct s3_opts {
	const char *endpoint;				     /* host[:port]; NULL: s3.amazonaws.com */
	const char *bucket, *region, *folder;		     /* region NULL: us-east-1; folder NULL: none */
	const char *access_key, *secret_key, *session_token; /* NULL: none */
	const char *endpoint_ca;			     /* a file of PEM, or its base64; NULL: the system's */
	bool insecure;					     /* http */
	bool skip_verify;				     /* any certificate will do */
	int timeout_s;					     /* of one request; 0: five minutes */
};

struct s3_object {
	struct sv name; /* without the folder */
	int64_t bytes;
	struct sv time; /* as the service words it */
};

/* By the names of the flags, before anything is done. */
int s3_opts_check(const struct s3_opts *o, struct err *err);

/* The file fd from its beginning. */
int s3_put(const struct s3_opts *o, const char *name, int fd, struct err *err);
/* Into fd from its beginning. ERR_NOT_FOUND: there is none. ERR_UNAVAILABLE: it does not say how long it is, or is
 * longer than where fd is has room. */
int s3_get(const struct s3_opts *o, const char *name, int fd, struct err *err);
/* What lies in the folder and not below it, by name; in a. */
int s3_list(const struct s3_opts *o, struct arena *a, struct s3_object **ret, size_t *ret_n, struct err *err);
int s3_delete(const struct s3_opts *o, const char *name, struct err *err);

/* --- for s3.c and tests --- */

#define S3_PART (INT64_C(16) << 20)
#define S3_PARTS_MAX 10000
#define S3_UPLOAD_ID_MAX ((size_t)1024)
#define S3_LIST_MAX ((size_t)10000)
#define S3_TIME_MAX ((size_t)40) /* longer is none */
#define S3_CODE_MAX ((size_t)64) /* and these are cut */
#define S3_MESSAGE_MAX ((size_t)200)
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
/* How long the parts of n bytes are, but for the last. */
int64_t s3_part_bytes(int64_t n);
/* Of a path: all but unreserved characters and slashes by %XX. */
const char *s3_quote(struct arena *a, struct sv text, bool slashes);
