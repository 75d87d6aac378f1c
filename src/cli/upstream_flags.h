/* upstream_flags.h - where the flags of upstream's kube-apiserver (v1.37) and the options of `caravel server` differ.
 *
 * Every flag of upstream's is one of these: an option of `caravel server` (server.c, node_opts.c), or a row here, which
 * says what becomes of it. tests/fields/apiserver-flags.tsv has them all, and a test starts with each. Options of ours
 * that upstream's does not have are rows, too: `caravel kube-apiserver` takes all others.
 */
#pragma once

#include "base/base.h"

enum upstream_flag_how {
	UPSTREAM_NO_MEANING, /* taken; a line of the log says why it changes nothing */
	UPSTREAM_ONLY,	     /* taken with the value that holds here anyway, else refused */
	UPSTREAM_REFUSED,    /* always */
	UPSTREAM_LACKS,	     /* an option of `caravel server`, which upstream's has by another name, or not */
};

struct upstream_flag {
	const char *name;
	enum upstream_flag_how how;
	bool is_switch;	  /* needs no value */
	const char *only; /* of UPSTREAM_ONLY */
	const char *why;
};

const struct upstream_flag *upstream_flag_find(struct sv name); /* NULL: it is none of these */
