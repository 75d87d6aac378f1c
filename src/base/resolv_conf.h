/* resolv_conf.h - what a resolv.conf says, and which file of the machine says it. Pure but for the functions that read
 * files. Read by those who give pods a resolv.conf, and by those who ask the machine's name servers themselves.
 */
#pragma once

#include "base/arena.h"

/* What the resolvers of C libraries read; more is cut. */
#define RESOLV_CONF_SERVERS 3
#define RESOLV_CONF_SEARCHES 32
#define RESOLV_CONF_OPTIONS 20

struct resolv_conf {
	struct sv servers[RESOLV_CONF_SERVERS], searches[RESOLV_CONF_SEARCHES], options[RESOLV_CONF_OPTIONS];
	size_t n_servers, n_searches, n_options;
	bool servers_cut, searches_cut; /* there were more */
};

/* Adds what a file says. The texts are borrowed. */
void resolv_conf_parse(struct sv text, struct resolv_conf *r);
/* The same of the file; its text lives in a. False: it cannot be read, nothing was added. */
bool resolv_conf_read(struct arena *a, const char *path, struct resolv_conf *r);

/* Add one, unless it is there; what does not fit is cut. */
void resolv_conf_add_server(struct resolv_conf *r, struct sv s);
void resolv_conf_add_search(struct resolv_conf *r, struct sv s); /* the same with a dot at its end and without */
void resolv_conf_add_option(struct resolv_conf *r, struct sv s);

/* A machine's resolver may listen on the machine alone, where pods do not reach it (systemd-resolved's stub). */
bool resolv_conf_has_loopback(const struct resolv_conf *r);

/* The machine's file whose servers are asked: chosen when there is one, else /etc/resolv.conf, or systemd-resolved's
 * file of the servers behind its stub where that is in there. *ret_loopback (may be NULL): pods do not reach what it
 * names. */
const char *resolv_conf_host_file(struct arena *a, const char *chosen, bool *ret_loopback);

/* The first of the files, a list that ends with NULL, whose servers pods reach; else the first of all. */
const char *resolv_conf_host_of(struct arena *a, const char *const *files, bool *ret_loopback);
