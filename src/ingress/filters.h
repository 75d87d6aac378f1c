/* filters.h - what happens to requests of a section, as lines of configuration; pure.
 *
 * Lines of ours alone: texts of users are handed to value(), and looked up by a name.
 */
#pragma once

#include "base/buf.h"
#include "ingress/check.h"
#include "ingress/model.h"

struct ing_filters_out {
	struct buf *text;
	struct sv name; /* of the section */
	int https_port; /* where ssl_redirect leads; 0: it does not */
	/* name.what has this text, borrowed for the call. NULL: they are counted alone. */
	void (*value)(void *ctx, struct sv name, const char *what, struct sv text);
	void *ctx;
	size_t values;	/* how many there were */
	size_t refused; /* words that may not stand in a configuration, and do not */
	bool apr1;	/* `lua.apr1` is asked (apr1.h) */
};

/* May it stand there? Else it is counted. */
static inline bool ing_filters_may(struct ing_filters_out *o, enum ing_place place, struct sv s)
{
	bool may = ing_may_write(place, s);

	o->refused += !may;
	return may;
}
/* An acl of that name: is the client's address one of these? None: nothing. */
void ing_filters_nets(struct buf *b, const char *acl, const struct ing_nets *nets);
/* The section, and its list of users before it; all but its servers. */
void ing_filters_render(struct ing_filters_out *o, const struct ing_filters *t);
