/* annotations.h - the annotations of ingress-nginx and others that people know, read by one table.
 *
 * A row is a name, the kind of its value with bounds, and the member it fills. What begins with a prefix of ours
 * and is in no row, or whose value its kind refuses, is reported and has no effect; those that protect
 * (auth, ranges of addresses) then close: `refused`. So does a name that is in no row, of these or of other known
 * controllers, when it says that it keeps somebody out (auth-url, auth-tls-secret, router.middlewares, ...).
 */
#pragma once

#include "codec/doc.h"
#include "ingress/model.h"

/* As they are written; all texts are checked views into the document. -1: not said. */
struct ing_annotations {
	struct sv class;
	int canary, canary_weight, canary_weight_total;
	struct sv canary_header, canary_header_value, canary_cookie;
	int ssl_redirect, force_ssl_redirect;
	struct sv permanent_redirect, temporal_redirect, app_root;
	int permanent_code, temporal_code;
	struct sv rewrite_target;
	struct sv vhost, prefix;
	int64_t body_max;
	int read_s, send_s, connect_s;
	int protocol; /* enum ing_protocol */
	int least_conn;
	int auth_basic; /* auth-type basic */
	struct sv auth_secret, auth_realm;
	int auth_map; /* auth-secret-type: 1 for auth-map */
	struct ing_nets allow, deny;
	int rps, rpm, connections, burst;
	int sticky, cookie_s;
	struct sv cookie;
	int cors, cors_credentials, cors_age_s;
	struct sv cors_origin, cors_methods, cors_headers, cors_expose;
	bool refused; /* one that protects is not right, or not known */
};

/* say: once for each that has no effect, with the reason. */
void ing_annotations_read(struct arena *a, const struct val *ingress, struct ing_annotations *ret,
			  void (*say)(void *ctx, struct sv name, const char *why), void *ctx);

/* "10.0.0.0/8, fd00::/8": up to 256 ranges. False: it is something else. */
bool ing_nets_parse(struct arena *a, struct sv s, struct ing_nets *ret);

/* The form of a path and its rewrite-target, without regular expressions. Of paths these are understood:
 *
 *	/some/path			rewritten as a whole
 *	/some/path(/|$)(.*)		by element; $2 is what follows
 *	/some/path/(.*)   /(.*)		by element; $1 is what follows
 *
 * and of targets a text, with $1 or $2 at its end or nowhere. *ret_path is the path without its tail; *ret_cut how
 * much of a request's path the target replaces, SIZE_MAX for all. NULL, or why not. */
const char *ing_rewrite_read(struct sv path, struct sv target, struct sv *ret_path, struct sv *ret_to, size_t *ret_cut);
bool ing_path_is_pattern(struct sv path); /* has a character that only expressions have */
