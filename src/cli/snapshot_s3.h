/* snapshot_s3.h - the flags of a bucket, for the commands and the server alike. */
#pragma once

#include "cli/cli.h"
#include "snapshot/s3.h"

struct snapshot_s3 {
	bool on;
	struct s3_opts o;
};

#define SNAPSHOT_S3_ROWS(s)                                                                                                 \
	{ "s3", 0, OPT_BOOL, &(s).on, NULL, "snapshots are kept in a bucket of an S3 service, too" },                       \
	    { "s3-endpoint", 0, OPT_STRING, &(s).o.endpoint, "HOST[:PORT]", "of the service (s3.amazonaws.com)" },          \
	    { "s3-endpoint-ca",	  0,	  OPT_STRING,                                                                       \
	      &(s).o.endpoint_ca, "FILE", "of its certificates, also as base64 (the system's)" },                           \
	    { "s3-skip-ssl-verify", 0, OPT_BOOL, &(s).o.skip_verify, NULL, "any certificate will do" },                     \
	    { "s3-insecure", 0, OPT_BOOL, &(s).o.insecure, NULL, "http instead of https" },                                 \
	    { "s3-bucket", 0, OPT_STRING, &(s).o.bucket, "NAME", "the bucket" },                                            \
	    { "s3-region", 0, OPT_STRING, &(s).o.region, "NAME", "its region (us-east-1)" },                                \
	    { "s3-folder", 0, OPT_STRING, &(s).o.folder, "NAME", "a folder in it (none)" },                                 \
	    { "s3-access-key",	 0,	OPT_STRING,                                                                         \
	      &(s).o.access_key, "KEY", "whose; better as CARAVEL_S3_ACCESS_KEY or AWS_ACCESS_KEY_ID in the environment" }, \
	    { "s3-secret-key",	 0,	OPT_STRING,                                                                         \
	      &(s).o.secret_key, "KEY", "and the secret; better as CARAVEL_S3_SECRET_KEY or AWS_SECRET_ACCESS_KEY" },       \
	    { "s3-session-token", 0, OPT_STRING, &(s).o.session_token, "TOKEN", "of credentials that end (none)" },         \
	{                                                                                                                   \
		"s3-timeout", 0, OPT_INT, &(s).o.timeout_s, "N", "seconds of one request (300)"                             \
	}

/* Fills in what AWS' own variables say; refuses what cannot work. 0 without --s3, too. */
int snapshot_s3_settle(struct snapshot_s3 *s, struct err *err);
/* ls, and all but the newest `keep` of `name` go. */
int snapshot_s3_ls(const struct snapshot_s3 *s, struct arena *a, struct err *err);
int snapshot_s3_prune(const struct snapshot_s3 *s, const char *name, size_t keep, struct err *err);
