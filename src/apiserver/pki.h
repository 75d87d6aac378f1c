/* pki.h - the cluster's certificates and keys: one CA, the server's certificate, the key that
 * signs service account tokens.
 *
 * Kept under DIR (0700, files 0600) as ca.crt, ca.key, server.crt, server.key, sa.key, and the front proxy's own CA as
 * front-proxy-ca.crt and front-proxy-ca.key, which is made again when it is gone or of no use. The
 * CA lasts ten years, as does what it signs for components in this process; what it signs for
 * others lasts one, and the server's certificate is made again when less than
 * 90 days are left (at the start and by pki_renew() while it runs), or when an address or name is missing from it. A CA
 * that is about to expire, or was made by another clock, gets a new certificate for the same key: what it signed stays
 * good, and clients need its new text.
 *
 * What the CA can make again is made again when it is damaged, gone or another CA's, with a line of log. A CA whose key
 * is not its own ends the opening, as does a damaged sa.key. A missing sa.key is made: whether that may be is for
 * whoever knows of a database (cli/database.c).
 *
 * Clocks are wrong at times, above all before they are set: everything is valid from 1970 on, and lifetimes are counted
 * from CLOCK_FLOOR_NS at least, so that no clock makes a certificate that is not valid yet, or was over before a
 * later clock.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/file.h"
#include "base/vec.h"
#include "codec/jws.h"
#include "net/tls.h"

#include <pthread.h>

struct pki {
	pthread_mutex_t lock; /* of what is made on demand */
	struct arena arena;
	struct env *env;
	struct sv ca_cert, ca_key;
	struct sv server_cert, server_key;
	bool ca_renewed;       /* at the start */
	int64_t server_end_ns; /* of server_cert */
	const char *dir;       /* as in the options, owned here */
	const char *const *names, *const *addrs;
	struct sv sa_key;	    /* PEM */
	struct jws_keys *sa_public; /* by which tokens are checked, that of sa_key first */
	struct sv sa_kid;
	struct sv front_ca, front_key; /* the front proxy's CA, apart from the other: see pki_front_proxy() */
	struct sv front_cert, front_cert_key;
	struct sv etcd_ca, etcd_key;	/* with pki_opts.etcd: the CA of an etcd of our own */
	struct buf more_cas, proxy_cas; /* see pki_trust(); under the lock */
	struct buf shown, shown_key;	/* see pki_show(); under the lock */
	struct arena named_arena;	/* of these, see pki_name(); under the lock */
	struct tls_named *named;
	size_t n_named;
	bool only_13;
	const char *const *suites;
	struct sv kubelet_ca, kubelet_cert, kubelet_key; /* see pki_kubelets() */
	struct tls_ctx *kubelet_tls;			 /* see pki_kubelet_tls() */
	struct tls_ctx *any_tls;			 /* see pki_any_tls() */
	VEC(struct file_out) unsaved;			 /* made while opening */
	bool unsaved_keys;   /* ca.key or sa.key among them: what another one signs is not this one's */
	struct tls_ctx *tls; /* serves with the server certificate; set by its user, dropped here */
};

/* By what tokens of service accounts may be signed, as upstream's. */
#define PKI_TOKEN_ALGS (JWS_RS256 | JWS_ES256 | JWS_ES384 | JWS_ES512)

/* Who the API server is to kubelets, which learn from RBAC what that group may. It presents its certificate to whatever
 * claims to be a node, so it is nobody here: authentication refuses it (authn.c). */
#define KUBELET_CLIENT_GROUP "caravel:kubelet-clients"

struct pki_opts {
	struct env *env;
	const char *dir; /* NULL: everything in memory */
	bool etcd;	 /* DIR/etcd-ca.crt and etcd-ca.key, too: who has one of its certificates has the store */
	bool looks_only; /* what is missing is made, and nothing written */
	const char *const *names;	 /* DNS names of the server, NULL-terminated */
	const char *const *addrs;	 /* IP addresses, NULL-terminated */
	const char *sa_signing_file;	 /* signs tokens instead of DIR/sa.key; NULL: none */
	const char *const *sa_key_files; /* whose keys check tokens, too; NULL-terminated, or NULL */
	bool only_13;			 /* as in tls.h, for who serves with it; */
	const char *const *suites;	 /* borrowed for its life */
};

struct pki *pki_open(const struct pki_opts *o, struct err *err);
struct pki *pki_close(struct pki *p);

/* 1: the server's certificate was about to expire, or has by a clock that jumped, and a new one is in p->tls (the old
 * is dropped: whoever serves with it holds a reference); 0: no need. */
int pki_renew(struct pki *p, struct err *err);
/* Makes p->tls of the server's certificate. */
int pki_load_tls(struct pki *p, struct err *err);
/* Whose certificates count besides: more_cas for clients as the CA's own do, proxy_cas for front proxies (tls.h).
 * Bundles of PEM, "": nobody's. 1: p->tls is made again for that; 0: they are those that count already. On failure
 * nothing has changed. */
int pki_trust(struct pki *p, struct sv more_cas, struct sv proxy_cas, struct err *err);
/* Serves with this certificate and its chain in the place of the CA's own. Returns as pki_trust(). */
int pki_show(struct pki *p, struct sv cert, struct sv key, struct err *err);
/* Shows other certificates to who asks for their names (tls.h), copied. -1: nothing has changed. */
int pki_name(struct pki *p, const struct tls_named *named, size_t n, struct err *err);
/* How connections to kubelets are made, copied; "": as they are without. Before the first call of pki_kubelet_tls(). */
void pki_kubelets(struct pki *p, struct sv ca, struct sv cert, struct sv key);
/* All CAs of clients, and those of front proxies with our own: what other servers are told. In the arena. */
void pki_trusted(struct pki *p, struct arena *a, struct sv *ret_clients, struct sv *ret_proxies);

int pki_client_cert(struct pki *p, struct arena *a, const char *cn, const char *const *orgs, struct sv *ret_cert,
		    struct sv *ret_key, struct err *err);
int pki_server_cert(struct pki *p, struct arena *a, const char *cn, const char *const *dns, const char *const *ips,
		    struct sv *ret_cert, struct sv *ret_key, struct err *err);
/* The client side of connections to kubelets; borrowed, made at the first call. */
struct tls_ctx *pki_kubelet_tls(struct pki *p, struct err *err);
/* The client side of connections to pods that want TLS: any certificate will do, and we show none. Borrowed. */
struct tls_ctx *pki_any_tls(struct pki *p, struct err *err);
/* As whom the API server passes requests on to aggregated servers, which believe what its headers say of the user: a
 * certificate of FRONT_PROXY_CLIENT by a CA that signs nothing else. Views for the server's life, made at the first
 * call. */
#define FRONT_PROXY_CLIENT "front-proxy-client"
int pki_front_proxy(struct pki *p, struct sv *ret_cert, struct sv *ret_key, struct err *err);
/* A kubeconfig with embedded credentials of system:masters. */
int pki_admin_kubeconfig(struct pki *p, struct arena *a, const char *server_url, struct sv *ret_yaml, struct err *err);

struct apiserver;
/* The first address of the service range: the API server's own ClusterIP. */
const char *apiserver_first_service_ip(struct apiserver *s, struct arena *a);
