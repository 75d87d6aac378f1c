#include "cli/datastore.h"
#include "cli/daemon.h"

#include "base/file.h"
#include "base/timefmt.h"
#include "store/etcd/etcd.h"
#include "store/etcd/link.h"

#define PEM_MAX ((size_t)1 << 20)
#define COMPACT_NS (300 * NS_PER_SEC)

int datastore_check(const struct datastore_opts *o, bool of_etcd, struct err *err)
{
	struct link_endpoint e[LINK_ENDPOINTS_MAX];
	int64_t ns;
	size_t n;

	if (o->compact && !duration_parse(sv_from(o->compact), &ns))
		return err_set(err, ERR_INVALID, "--etcd-compaction-interval takes a time like 5m0s, not '%s'",
			       o->compact);
	if (!o->cert_file != !o->key_file)
		return err_set(err, ERR_INVALID,
			       of_etcd ? "--etcd-certfile and --etcd-keyfile go together"
				       : "--datastore-certfile and --datastore-keyfile go together");
	if (!o->endpoint) {
		if (o->ca_file || o->cert_file)
			return err_set(
			    err, ERR_INVALID,
			    "--datastore-cafile, --datastore-certfile and --datastore-keyfile are for the etcd that "
			    "--datastore-endpoint names");
		return 0;
	}
	if (link_endpoints_read(sv_from(o->endpoint), e, &n, err) < 0)
		return err_wrap(err, of_etcd ? "--etcd-servers" : "--datastore-endpoint");
	for (size_t i = 0; i < n; i++) {
		if (e[i].tls && !o->ca_file) {
			link_endpoints_free(e, n);
			return err_set(err, ERR_INVALID,
				       "%s has https: it goes with %s, whose certificates are trusted",
				       of_etcd ? "--etcd-servers" : "--datastore-endpoint",
				       of_etcd ? "--etcd-cafile" : "--datastore-cafile");
		}
	}
	link_endpoints_free(e, n);
	return 0;
}

static int datastore_read(struct arena *a, const char *file, struct sv *ret, struct err *err)
{
	*ret = SV("");
	return file ? file_read(a, file, PEM_MAX, ret, err) : 0;
}

struct store *datastore_etcd(struct env *env, struct arena *a, const struct datastore_opts *o, struct err *err)
{
	struct store_etcd_opts e = { .endpoints = o->endpoint, .compact_ns = COMPACT_NS, .ends = daemon_is_to_end };
	struct store *s;

	if (o->kept)
		e.compact_ns = 0;
	if (o->compact)
		(void)duration_parse(sv_from(o->compact), &e.compact_ns);
	if (datastore_read(a, o->ca_file, &e.ca_pem, err) < 0 ||
	    datastore_read(a, o->cert_file, &e.cert_pem, err) < 0 ||
	    datastore_read(a, o->key_file, &e.key_pem, err) < 0)
		return NULL;
	s = store_etcd_open(env, &e, err);
	if (!s)
		err_wrap(err, "the etcd at %s", o->endpoint);
	return s;
}
