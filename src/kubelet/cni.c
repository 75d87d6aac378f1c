#include "kubelet/cni.h"

#include "kubelet/fsutil.h"

#include <stdio.h>
#include <unistd.h>

const char *cni_find_plugins(void)
{
	static const char *const dirs[] = { "/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni" };
	static const char *const needed[] = { "bridge", "host-local", "loopback" };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		size_t have = 0;

		for (size_t j = 0; j < ARRAY_LEN(needed); j++) {
			char path[64];

			snprintf(path, sizeof(path), "%s/%s", dirs[i], needed[j]);
			have += access(path, X_OK) == 0;
		}
		if (have == ARRAY_LEN(needed))
			return dirs[i];
	}
	return NULL;
}

void cni_conflist(struct buf *b, const struct cni_opts *o)
{
	struct sv rest = sv_from(o->pod_cidr), cidr;
	const char *sep = "";

	/* forceAddress: a Node that was deleted and is back has another range, and the bridge the gateway of the old
	 * one. */
	buf_printf(b,
		   "{\"cniVersion\":\"0.4.0\",\"name\":\"caravel\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"%s\","
		   "\"isGateway\":true,\"isDefaultGateway\":true,\"forceAddress\":true,\"ipMasq\":%s,\"hairpinMode\":"
		   "true,\"promiscMode\":false,",
		   o->bridge, o->masquerade ? "true" : "false");
	if (o->mtu > 0)
		buf_printf(b, "\"mtu\":%d,", o->mtu);
	buf_printf(b, "\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s\",\"ranges\":[", o->state_dir);
	while (sv_split(&rest, ',', &cidr)) {
		buf_printf(b, "%s[{\"subnet\":\"%.*s\"}]", sep, SV_ARG(sv_trim(cidr)));
		sep = ",";
	}
	buf_adds(b, "]}}]}\n");
}

int cni_write(const struct cni_opts *o, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *path = arena_printf(&a, "%s/10-caravel.conflist", o->conf_dir);

	if (strlen(o->bridge) > 15)
		return err_set(err, ERR_BAD_REQUEST, "bridge name '%s' is longer than 15 bytes", o->bridge);
	cni_conflist(&b, o);
	if (fs_mkdir_p(o->conf_dir, 0755, err) < 0 || fs_mkdir_p(o->state_dir, 0755, err) < 0)
		return -1;
	return fs_write(path, buf_sv(&b), 0644, err);
}

void cni_bridge_name(const char *data_dir, char out[16])
{
	snprintf(out, 16, "cvl%08x", (unsigned)(sv_hash(sv_from(data_dir)) & 0xffffffff));
}
