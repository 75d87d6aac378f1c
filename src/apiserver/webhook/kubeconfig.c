/* Peers that a kubeconfig names. */
#include "apiserver/webhook/kubeconfig.h"
#include "apiserver/webhook/webhook-internal.h"
#include "base/b64.h"
#include "base/file.h"
#include "codec/yaml.h"

#define KUBECONFIG_MAX ((size_t)1 << 20)

/* list[name == name].member */
static const struct val *peer_named(const struct val *list, struct sv name, const char *member)
{
	VAL_EACH(list, v)
		if (sv_eq(val_get_str(v, F_name), name))
			return val_member_sv(v, sv_from(member));
	return NULL;
}

static int peer_ca(struct webhook_peer *p, const struct val *cluster, const char *path, struct val *cc, struct err *err)
{
	struct sv data = val_str(val_member_sv(cluster, SV("certificate-authority-data")));
	struct sv file = val_str(val_member_sv(cluster, SV("certificate-authority"))), pem;
	const char *slash = strrchr(path, '/');

	if (val_bool(val_member_sv(cluster, SV("insecure-skip-tls-verify"))))
		return err_set(err, ERR_INVALID,
			       "insecure-skip-tls-verify: who decides about rights must be known by a "
			       "certificate; give its certificate-authority");
	if (!data.n && file.n) {
		if (file.p[0] != '/' && slash)
			file = arena_svf(&p->arena, "%.*s/%.*s", (int)(slash - path), path, SV_ARG(file));
		if (file_read(&p->arena, arena_cstr(&p->arena, file), KUBECONFIG_MAX, &pem, err) < 0)
			return -1;
		data = b64_encode(&p->arena, pem);
	}
	if (data.n)
		val_set_str(&p->arena, cc, F_caBundle, data);
	return 0;
}

static int peer_read(struct webhook_peer *p, const char *path, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	struct val *cc = val_new_map(&p->arena);
	const struct val *doc, *context, *cluster;
	const char *slash = strrchr(path, '/');
	struct sv text, user;

	if (file_read(&p->arena, path, KUBECONFIG_MAX, &text, err) < 0)
		return -1;
	doc = yaml_decode_opts(&p->arena, text, &(struct yaml_opts){ .values = &values, .alone = true }, err);
	if (!doc)
		return -1;
	context = peer_named(val_member_sv(doc, SV("contexts")), val_str(val_member_sv(doc, SV("current-context"))),
			     "context");
	cluster =
	    peer_named(val_member_sv(doc, SV("clusters")), val_str(val_member_sv(context, SV("cluster"))), "cluster");
	if (!cluster)
		return err_set(err, ERR_INVALID,
			       "invalid configuration: its current-context leads to no cluster that it has");
	val_set_str(&p->arena, cc, F_url, val_str(val_member_sv(cluster, SV("server"))));
	if (peer_ca(p, cluster, path, cc, err) < 0 ||
	    webhook_credentials_add(
		p->users, doc, slash ? arena_strndup(&p->arena, path, MAX((size_t)(slash - path), (size_t)1)) : ".",
		err) < 0)
		return -1;
	user = val_str(val_member_sv(context, SV("user")));
	p->as = user.n ? webhook_credentials_named(p->users, user) : NULL;
	if (user.n && !p->as)
		return err_set(err, ERR_INVALID, "invalid configuration: it has no user \"%.*s\"", SV_ARG(user));
	p->target = webhook_target_new(cc);
	return p->target->wrong.reason ? err_set(err, ERR_INVALID, "%s", err_msg(&p->target->wrong)) : 0;
}

int webhook_peer_read(struct webhook_peer *p, const char *path, struct err *err)
{
	*p = (struct webhook_peer){ .users = webhook_credentials_new() };
	if (peer_read(p, path, err) == 0)
		return 0;
	webhook_peer_release(p);
	return err_wrap(err, "'%s'", path);
}

void webhook_peer_release(struct webhook_peer *p)
{
	p->target = webhook_target_unref(p->target);
	p->users = webhook_credentials_free(p->users);
	p->as = NULL;
	arena_release(&p->arena);
}
