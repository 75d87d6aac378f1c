/* s3.h - a bucket of an S3 service (AWS, MinIO, Ceph, ...) as a place for snapshots.
 *
 * By libcurl, which signs (SigV4, CURLOPT_AWS_SIGV4) and is loaded by the first call (base/lazylib.h): so only in a
 * process that takes or fetches a snapshot. Requests are path-style, https://ENDPOINT/BUCKET/FOLDER/NAME, which all
 * services know. An upload is there as a whole or not at all, which is S3's promise; its digest is signed. What is
 * longer than 16 MiB goes in parts of so much, read from the file as they are sent, and of more where 10,000 would not
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
