/* identity.h - who a joined node is: its key, its certificates, the cluster it belongs to, in DATA-DIR/agent.
 *
 *	server-ca.crt			the CA that the token named; from then on nobody else is believed
 *	client-kubelet.key .crt		system:node:NAME. The key is made once and kept: it is what the cluster knows
 *					the node by, so that no other machine takes its name (NODE_KEY_ANNOTATION)
 *	serving-kubelet.key .crt	what the kubelet serves with; .names: the name and addresses it was made for
 *	server, node-name		where and as what it joined
 *	servers				the list of servers.h
 *	facts.json			what the cluster said last: for a start while no server answers
 *
 * All 0600 in a directory 0700; with these a restart needs no token. Certificates are asked for by
 * CertificateSigningRequest and renewed when 70 to 90 % of their life is over.
 */
#pragma once

#include "base/env.h"
#include "cli/facts.h"
#include "client/client.h"
#include "object/node_labels.h"

struct identity {
	struct arena *a; /* of all texts */
	const char *dir, *node_name;
	const char *server; /* URL it joined by */
	struct sv ca, key, cert, serving_key, serving_cert;
	const char *serving_names; /* that serving_cert is for; "" : none */
};

/* 1: complete and good for a while; 0: there is none yet, or it has expired (*ret_why says so in words, or is NULL);
 * -1: it is another node's. server: the URL that was given, NULL: that of before; whose that is is not asked here
 * (join_check_same()). */
int identity_load(struct identity *id, struct arena *a, const char *data_dir, const char *node_name, const char *server,
		  int64_t now_ns, const char **ret_why, struct err *err);
/* After joining, or a renewal: writes what is set. */
int identity_save(const struct identity *id, struct err *err);
/* The key, made when there is none, also of an earlier try to join: the same machine is the same node. */
int identity_key(struct identity *id, struct err *err);

/* What the cluster said last; -1 when there is nothing that can be used. */
int identity_recall_facts(const struct identity *id, struct cluster_facts *ret, struct err *err);
void identity_keep_facts(const struct identity *id, const struct cluster_facts *f);

/* When a certificate is to be renewed, wall clock; INT64_MIN when it cannot be read or is over. spread_milli: 0 to
 * 1000, so that nodes which joined together do not come together. */
int64_t identity_renew_ns(struct sv cert_pem, int spread_milli);

/* --- asking for certificates --- */

enum cert_for { CERT_CLIENT, CERT_SERVING };
/* Asks; *ret_name is the request's, in a. ips: of CERT_SERVING, separated by blanks. */
int identity_request(struct client *c, struct arena *a, const struct identity *id, enum cert_for what, const char *ips,
		     struct sv key, struct sv *ret_name, struct err *err);
/* 1: signed, the certificate is in a; 0: not yet, *ret_why is what it waits for; -1: never: ERR_FORBIDDEN when it was
 * denied, ERR_NOT_FOUND when it is gone. Other failures are the transport's. */
int identity_answer(struct client *c, struct arena *a, struct sv name, struct sv *ret_cert, const char **ret_why,
		    struct err *err);
