/* serve.h - the part of the name server that lives on its loop: sockets, and what answers are made of.
 *
 * Made and freed while the loop does not run, else on its thread alone; others post (dns.c).
 */
#pragma once

#include "base/vec.h"
#include "dns/config.h"
#include "dns/counts.h"
#include "dns/zone.h"
#include "ev/ev.h"

struct dns_serve;

struct dns_serve_opts {
	struct env *env;
	struct ev_loop *loop;
	int port; /* 0: a free one */
	int fd;	  /* > 0: dns_serve_fd() of an earlier one, taken; what was asked meanwhile is answered */
	struct dns_counts *counts; /* borrowed; or NULL */
	/* A name of somebody else's was asked for: a moment to look at the machine's name servers. At most every
	 * HOST_LOOK_NS. On the loop's thread. */
	void (*look_at_host)(void *ctx);
	void *ctx;
};
struct dns_serve *dns_serve_new(const struct dns_serve_opts *o, struct err *err);
struct dns_serve *dns_serve_free(struct dns_serve *s);
int dns_serve_port(const struct dns_serve *s);
int dns_serve_fd(const struct dns_serve *s); /* for datagrams */

/* Begins to read. Before the names are known those of the cluster are answered with SERVFAIL. */
void dns_serve_begin(struct dns_serve *s);

/* What changes: all of it is taken. */
struct dns_name_change {
	char *key; /* zone_key() */
	size_t key_n;
	struct zone_entry *entry; /* NULL: there is none any more */
};
struct dns_update {
	VEC(struct dns_name_change) names;
	bool complete;		     /* with these, all names are known */
	struct dns_config *cfg;	     /* NULL: stays */
	struct dns_clients *clients; /* with cfg, whose `pods` it is */
};
void dns_serve_update(struct dns_serve *s, struct dns_update *u);
void dns_update_free(struct dns_update *u); /* of one that was not taken, too */
