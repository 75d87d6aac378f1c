#include "kubelet/etchosts.h"

#include "base/file.h"
#include "kubelet/beneath.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_spec.h"

static void put_aliases(struct buf *b, const struct val *aliases)
{
	if (!val_len(aliases))
		return;
	buf_adds(b, "\n# Entries added by HostAliases.\n");
	VAL_EACH(aliases, h) {
		buf_addsv(b, val_get_str(h, F_ip));
		VAL_EACH(val_member(h, F_hostnames), n)
			buf_printf(b, "\t%.*s", SV_ARG(val_str(n)));
		buf_addc(b, '\n');
	}
}

void etchosts_text(struct buf *b, struct sv ips, struct sv hostname, struct sv domain, const struct val *aliases)
{
	struct sv ip;

	buf_adds(b, "# Kubernetes-managed hosts file.\n"
		    "127.0.0.1\tlocalhost\n"
		    "::1\tlocalhost ip6-localhost ip6-loopback\n"
		    "fe00::0\tip6-localnet\n"
		    "fe00::0\tip6-mcastprefix\n"
		    "fe00::1\tip6-allnodes\n"
		    "fe00::2\tip6-allrouters\n");
	while (sv_split(&ips, ' ', &ip)) {
		if (!ip.n)
			continue;
		buf_printf(b, "%.*s\t", SV_ARG(ip));
		if (domain.n)
			buf_printf(b, "%.*s.%.*s\t", SV_ARG(hostname), SV_ARG(domain));
		buf_printf(b, "%.*s\n", SV_ARG(hostname));
	}
	put_aliases(b, aliases);
}

int etchosts_write(struct kpod *p, struct arena *a, const struct val *pod, const char *path, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *aliases = val_get(pod, F_spec, F_hostAliases);
	struct sv own = val_get_str(pod, F_spec, F_hostname), sub = val_get_str(pod, F_spec, F_subdomain), host, old;

	if (pod_host_network(pod)) {
		buf_adds(&b, "# Kubernetes-managed hosts file (host network).\n");
		if (file_read(a, "/etc/hosts", 1 << 20, &host, NULL) == 0)
			buf_addsv(&b, host);
		put_aliases(&b, aliases);
	} else {
		struct sv exact = val_get_str(pod, F_spec, F_hostnameOverride);

		etchosts_text(&b, sv_from(p->ips ? p->ips : ""),
			      exact.n ? exact
			      : own.n ? own
				      : sv_from(p->name),
			      sub.n && !exact.n
				  ? arena_svf(a, "%.*s.%s.svc.%s", SV_ARG(sub), p->ns, p->k->cluster_domain)
				  : SV(""),
			      aliases);
	}
	/* Containers have this very file mounted: a new one in its place would not reach them. */
	if (beneath_read(a, p->k->root_dir, path, 1 << 20, &old, NULL) == 0 && sv_eq(old, buf_sv(&b)))
		return 0;
	return beneath_write(p->k->root_dir, path, buf_sv(&b), 0644, err);
}
