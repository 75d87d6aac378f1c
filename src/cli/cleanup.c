/* `caravel cleanup`: ends this node's pods and takes away what they left on the machine. */
#include "cli/server.h"
#include "base/file.h"
#include "kubelet/node_cleanup.h"
#include "proxy/proxy.h"

#include <stdio.h>
#include <unistd.h>

int cmd_cleanup(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *data_dir = DEFAULT_DATA_DIR;
	bool images = false, usual;
	const struct option table[] = {
		{ "data-dir", 'd', OPT_STRING, &data_dir, "DIR", "of the cluster (" DEFAULT_DATA_DIR ")" },
		{ "images", 0, OPT_BOOL, &images, NULL, "forget the container images, too" },
	};
	struct err err = ERR_INIT;
	struct env *env;
	int rc = cli_options_parse(&a, table, ARRAY_LEN(table), argc, argv, NULL, NULL, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	if (access(data_dir, F_OK) < 0)
		return 0; /* nothing was ever started here */
	usual = strcmp(data_dir, DEFAULT_DATA_DIR) == 0;
	env = env_real_new(2);
	rc = node_cleanup(
	    &(struct node_cleanup_opts){
		.env = env,
		.data_dir = data_dir,
		.kubelet_root = usual ? "/var/lib/kubelet" : NULL,
		.log_dir = usual ? "/var/log/pods" : arena_printf(&a, "%s/pod-logs", data_dir),
		.cgroup_root = usual ? "/kubepods" : arena_printf(&a, "/%s", cluster_tag(&a, data_dir)),
		.images = images,
	    },
	    &err);
	if (rc == 0)
		rc = proxy_cleanup(cluster_tag(&a, data_dir), &err);
	env_real_free(env);
	return rc < 0 ? cli_fail_err(&err) : 0;
}
