/* `caravel image import` and `caravel image demo`. */
#include "cli/server.h"
#include "kubelet/containerd.h"
#include "kubelet/image.h"

#include <stdio.h>
#include <unistd.h>

/* The socket of the running node's containerd. */
static int find_socket(struct arena *a, const char *data_dir, const char **ret, struct err *err)
{
	char run_dir[40];

	containerd_run_dir(data_dir, run_dir);
	*ret = arena_printf(a, "%s/containerd.sock", run_dir);
	if (access(*ret, F_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "no node runs on '%s': start it with 'caravel server', or name its --data-dir",
			       data_dir);
	return 0;
}

static int parse(struct arena *a, int argc, char **argv, const char **data_dir, struct string_list *rest,
		 struct err *err)
{
	const struct option table[] = {
		{ "data-dir", 'd', OPT_STRING, data_dir, "DIR", "of the cluster (" DEFAULT_DATA_DIR ")" },
	};

	int rc = cli_options_parse(a, table, ARRAY_LEN(table), argc, argv, NULL, rest, err);

	*data_dir = full_path(a, *data_dir);
	return rc;
}

int cmd_image_import(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(string_list_release) struct string_list files = { 0 };
	const char *data_dir = DEFAULT_DATA_DIR, *socket;
	struct err err = ERR_INIT;
	int rc = parse(&a, argc, argv, &data_dir, &files, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	if (!files.list.p[0])
		return cli_fail("which archive? usage: caravel image import FILE...");
	if (find_socket(&a, data_dir, &socket, &err) < 0)
		return cli_fail_err(&err);
	for (size_t i = 0; files.list.p[i]; i++) {
		if (image_import(socket, files.list.p[i], &err) < 0)
			return cli_fail_err(&err);
		printf("imported %s\n", files.list.p[i]);
	}
	return 0;
}

int cmd_image_demo(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *data_dir = DEFAULT_DATA_DIR, *socket;
	struct err err = ERR_INIT;
	struct sv tar;
	int rc = parse(&a, argc, argv, &data_dir, NULL, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	if (find_socket(&a, data_dir, &socket, &err) < 0 || image_build_demo(&a, "", &tar, &err) < 0 ||
	    image_import_bytes(socket, data_dir, tar, &err) < 0)
		return cli_fail_err(&err);
	printf("made %s\n", DEMO_IMAGE);
	return 0;
}
