/* render-internal.h - what render.c, render_gate.c and render_section.c share; nobody else includes it. */
#pragma once

#include "ingress/check.h"
#include "ingress/render.h"

struct line {
	struct sv key, value;
};
struct lines {
	struct line *p;
	size_t n, cap;
};

struct known {
	uint64_t number;
	struct ing_endpoint *slots;
	size_t n_slots;
	bool meant;	      /* in this rendering */
	struct sv name, text; /* of this rendering */
	const struct ing_backend *backend;
	const struct ing_filters *filters;
};

struct render {
	struct arena *a;
	struct ing_names *names;
	const struct ing_listen *listen;
	struct lines maps[ING_MAPS];
	VEC(struct known *) sections;
	struct strmap met; /* filters and backend, as their addresses -> struct known * */
	struct buf splits; /* rules of the frontend */
	struct strmap split_done;
	bool external, apr1, gates;
	size_t refused; /* ing_conf.refused */
};

/* --- render_section.c --- */

/* May it stand there? Else it is counted. */
bool render_may(struct render *r, enum ing_place place, struct sv s);
void render_line(struct render *r, int map, struct sv key, struct sv value);
/* The section of a backend (NULL: nobody) with filters that from wishes; its name. */
struct sv render_section(struct render *r, const struct ing_backend *b, const struct ing_filters *filters,
			 const struct obj *from);
/* That of what it means, as long as it is meant. */
uint64_t render_number(struct render *r, struct sv meaning);

/* shape has as many servers, without addresses. */
void render_servers(struct render *r, struct buf *config, struct buf *shape, const struct known *k);
void render_names_sweep(struct ing_names *n); /* what was not meant this time loses its name */

/* --- render_cert.c --- */

#define ING_BIND_TLS " ssl crt-list " ING_CRT_LIST " alpn h2,http/1.1"
/* Lists of certificates for each port that ends TLS. */
void render_certificates(struct render *r, const struct ing_model *m, struct ing_conf *ret);

/* --- render_gate.c --- */

/* Into maps and sections, connections that pass through, too. */
void render_gates(struct render *r, const struct ing_model *m);
void render_gate_binds(const struct render *r, struct buf *b);
bool render_gate_has(const struct render *r, int port); /* its socket is a Gateway's, whoever else is served there */
void render_gate_rules(const struct render *r, struct buf *b);
void render_pass_frontends(const struct render *r, struct buf *b);
