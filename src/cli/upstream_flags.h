/* upstream_flags.h - flags of upstream's kube-apiserver (v1.37) that are no options of ours.
 *
 * Every flag of upstream's is one of these: an option of `caravel server` (server.c, node_opts.c), or a row here, which
 * says what becomes of it.
 */
#pragma once

#include "base/base.h"

enum upstream_flag_how {
	UPSTREAM_NO_MEANING, /* taken; a line of the log says why it changes nothing */
	UPSTREAM_ONLY,	     /* taken with the value that holds here anyway, else refused */
	UPSTREAM_REFUSED,    /* always */
};

struct upstream_flag {
	const char *name;
	enum upstream_flag_how how;
	bool is_switch;	  /* needs no value */
	const char *only; /* of UPSTREAM_ONLY */
	const char *why;
};

const struct upstream_flag *upstream_flag_find(struct sv name); /* NULL: it is none of these */
