/* render.h - a model as what HAProxy reads: a configuration, map files, certificates.
 *
 * The configuration holds words, numbers and names of ours: "b7" is a section (a backend with its filters), "s3" a
 * choice between sections, "e2" a server in one. Texts of users are values of these maps:
 *
 *	exact.map	host/path   -> b7 or s3
 *	prefix.map	host/path/  -> b7 or s3, the longest that a request's path begins with
 *	values.map	b7.realm    -> the text
 *	gates.map	of Gateway API: gate_lua.h
 *
 * So a changed host, path or text is a changed map, and a changed endpoint a changed server, which the running HAProxy
 * takes by command (command.h). Only when `shape` differs, the configuration without addresses, it has to read anew.
 *
 * A name stays with what it means as long as the struct ing_names lives: "b7" is one Service's port with one set of
 * filters, however often it is rendered.
 */
#pragma once

#include "base/buf.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "ingress/model.h"

#define ING_MAPS 4
extern const char *const ing_map_names[ING_MAPS]; /* "exact.map", ... */
enum { ING_MAP_EXACT, ING_MAP_PREFIX, ING_MAP_VALUES, ING_MAP_GATES };

struct ing_section {
	struct sv name;		    /* "b7" */
	struct ing_endpoint *slots; /* its servers, "e1" first; port 0: a free one */
	size_t n_slots;
};

struct ing_names {
	struct strmap sections; /* what it means -> its number, servers and whether it is still meant: render.c */
	struct strmap numbers;	/* of choices, certificates: what it means -> twice its number, 1 more: still meant */
	uint64_t next;
};
void ing_names_release(struct ing_names *n);

struct ing_listen {
	int http_port, https_port;	   /* 0: none */
	const struct ing_gate_port *gates; /* ports of Gateways that are free here, beside or among those two */
	size_t n_gates;
	uint32_t own; /* a number that no other data directory of this machine has */
	bool v6;
	bool name_servers; /* there is a resolv.conf: names of ExternalNames are asked of its servers */
	int threads, max_connections;
	struct ing_nets trusted; /* proxies before us: what they forward for counts */
	bool proxy_protocol;	 /* and they say it so */
};

struct ing_conf {
	struct sv config, shape;
	struct sv maps[ING_MAPS]; /* lines "key value", sorted */
	struct ing_section *sections;
	size_t n_sections;
	struct ing_pem {
		struct sv file; /* "c12.pem", by its Secret */
		struct sv pem;
		struct ing_listed { /* where it is shown, in the order of lists */
			size_t list;
			struct sv hosts; /* blank before each */
			bool first;	 /* also for names that have none */
		} * listed;
		size_t n_listed;
	} * pems; /* those that are shown */
	size_t n_pems;
	struct ing_crt_list {
		struct sv file; /* "crt-list-443.txt", of a port */
		struct sv text; /* certificates and for which names; the default one first */
	} * lists;
	size_t n_lists;
	size_t refused; /* texts that may not stand where they were to: 0, unless somebody forgot to ask before */
};

#define ING_CRT_LIST "crt-list-%d.txt" /* of a port */
#define ING_DEFAULT_PEM "default.pem"

#define ING_PEMS_SEARCHED 512 /* of more nobody asks for single ones, as each time all are looked at */
/* The one in that file, or NULL. */
const struct ing_pem *ing_conf_pem(const struct ing_conf *c, struct sv file);
/* Everything in a. */
void ing_render(struct arena *a, struct ing_names *names, const struct ing_model *m, const struct ing_listen *l,
		struct ing_conf *ret);
