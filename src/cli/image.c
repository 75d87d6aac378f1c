/* `caravel image import` and `caravel image demo`. */
#include "cli/agent.h"
#include "cli/dev.h"
#include "kubelet/containerd.h"
#include "kubelet/image.h"
#include "kubelet/image_size.h"
#include "object/quantity.h"

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

struct import_opts {
	const char *data_dir, *max_size;
	int max_files;
	bool force;
};

static int image_cmd_parse(struct arena *a, int argc, char **argv, const struct option *table, size_t n,
			   const char **data_dir, struct string_list *rest, struct err *err)
{
	int rc = cli_options_parse(a, table, n, argc, argv, NULL, rest, err);

	*data_dir = full_path(a, *data_dir);
	return rc;
}

/* The data directories to import into: one, or those of all nodes of `caravel dev` that run: one may be left of a start
 * with more of them. None runs: all, so that it is said. */
static const char *const *image_dirs(struct arena *a, const char *data_dir)
{
	const char *const *nodes = dev_node_dirs(a, data_dir);
	const char **list, *socket;
	size_t all = 0, n = 0;

	while (nodes && nodes[all])
		all++;
	list = ARENA_ARRAY(a, const char *, all + 2);
	for (size_t i = 0; i < all; i++)
		if (find_socket(a, nodes[i], &socket, NULL) == 0)
			list[n++] = nodes[i];
	if (!all)
		list[n++] = data_dir;
	list[n] = NULL;
	return n ? list : nodes;
}

/* Said before the disk is gone. */
static int check_size(struct arena *a, const struct import_opts *o, const char *data_dir, const char *path,
		      struct err *err)
{
	struct image_limits l = { .max_files = (uint64_t)MAX(o->max_files, 0) };
	struct image_size size;
	int64_t max;

	if (o->force)
		return 0;
	if (!quantity_value(sv_from(o->max_size), &max) || max < 0)
		return err_set(err, ERR_INVALID, "--max-size takes a quantity like 20Gi, not '%s'", o->max_size);
	l.max_bytes = (uint64_t)max;
	if (access(path, R_OK) < 0)
		return 0; /* the import says so */
	if (image_measure(path, &l, &size, err) < 0 ||
	    image_fits(&size, arena_printf(a, "%s/containerd", data_dir), err) < 0)
		return err_wrap(err, "image archive '%s'", path);
	return 0;
}

int cmd_image_import(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(string_list_release) struct string_list files = { 0 };
	struct import_opts o = { .data_dir = DEFAULT_DATA_DIR, .max_size = "16Gi", .max_files = 1000000 };
	const struct option table[] = {
		{ "data-dir", 'd', OPT_STRING, &o.data_dir, "DIR", "of the cluster (" DEFAULT_DATA_DIR ")" },
		{ "max-size", 0, OPT_STRING, &o.max_size, "SIZE", "refuse what unpacks to more (16Gi)" },
		{ "max-files", 0, OPT_INT, &o.max_files, "N", "refuse what holds more files (1000000)" },
		{ "force", 0, OPT_BOOL, &o.force, NULL, "import without looking at size and free space" },
	};
	const char *socket;
	struct err err = ERR_INIT;
	int rc = image_cmd_parse(&a, argc, argv, table, ARRAY_LEN(table), &o.data_dir, &files, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	if (!files.list.p[0])
		return cli_fail("which archive? usage: caravel image import FILE...");
	for (const char *const *dir = image_dirs(&a, o.data_dir); *dir; dir++) {
		if (find_socket(&a, *dir, &socket, &err) < 0)
			return cli_fail_err(&err);
		for (size_t i = 0; files.list.p[i]; i++) {
			if (check_size(&a, &o, *dir, files.list.p[i], &err) < 0 ||
			    image_import(socket, files.list.p[i], &err) < 0)
				return cli_fail_err(&err);
			printf("imported %s%s%s\n", files.list.p[i], *dir == o.data_dir ? "" : " into ",
			       *dir == o.data_dir ? "" : strrchr(*dir, '/') + 1);
		}
	}
	return 0;
}

int cmd_image_demo(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *data_dir = DEFAULT_DATA_DIR, *socket;
	const struct option table[] = {
		{ "data-dir", 'd', OPT_STRING, &data_dir, "DIR", "of the cluster (" DEFAULT_DATA_DIR ")" },
	};
	struct err err = ERR_INIT;
	struct sv tar;
	int rc = image_cmd_parse(&a, argc, argv, table, ARRAY_LEN(table), &data_dir, NULL, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	if (image_build_demo(&a, "", &tar, &err) < 0)
		return cli_fail_err(&err);
	for (const char *const *dir = image_dirs(&a, data_dir); *dir; dir++)
		if (find_socket(&a, *dir, &socket, &err) < 0 || image_import_bytes(socket, *dir, tar, &err) < 0)
			return cli_fail_err(&err);
	printf("made %s\n", DEMO_IMAGE);
	return 0;
}
