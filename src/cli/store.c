/* `caravel store check` and `caravel store repair`: for a data directory that no server uses. */
#include "base/file.h"
#include "cli/agent.h"
#include "ev/ev.h"
#include "store/disk/check.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void store_cmd_say(const char *line, void *ctx)
{
	(void)ctx;
	cli_print("caravel: %s\n", line); /* keys are in it */
}

/* Has dir a file that only a database has? Whatever else somebody names by mistake must not be moved aside for an empty
 * database in its place. */
static bool store_is_one(const char *dir)
{
	DIR *d = opendir(dir);
	bool found = false;

	for (struct dirent *e; !found && d && (e = readdir(d));)
		found =
		    !strcmp(e->d_name, "manifest") || !strncmp(e->d_name, "wal.", 4) || !strncmp(e->d_name, "t.", 2);
	if (d)
		closedir(d);
	return found;
}

/* Of a data directory the database in it; a database is fine, too. */
static int store_dir(struct arena *a, const char *dir, const char **ret, struct err *err)
{
	const char *db = arena_printf(a, "%s/db", dir);

	*ret = access(db, F_OK) == 0 ? db : dir;
	if (*ret == dir && access(dir, F_OK) == 0 && !store_is_one(dir))
		return err_set(err, ERR_NOT_FOUND, "'%s' holds no database: name a server's data directory", dir);
	return 0;
}

/* The one argument. 0, 1 when help was printed, -1. */
static int store_args(struct arena *a, int argc, char **argv, const char **ret_dir, struct err *err)
{
	struct string_list rest = { VEC_INIT };
	int rc = cli_options_parse(a, NULL, 0, argc, argv, NULL, &rest, err);

	if (rc == 0 && rest.list.n > 2)
		rc = err_set(err, ERR_INVALID, "one data directory at a time");
	if (rc == 0)
		rc = store_dir(a, full_path(a, rest.list.n && rest.list.p[0] ? rest.list.p[0] : DEFAULT_DATA_DIR),
			       ret_dir, err);
	string_list_release(&rest);
	return rc;
}

int cmd_store_check(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	const char *dir = NULL;
	int rc = store_args(&a, argc, argv, &dir, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	rc = store_check(dir, store_cmd_say, NULL, &err);
	if (rc < 0)
		return cli_fail_err(&err);
	if (rc == 0)
		printf("caravel: '%s' is whole\n", dir);
	else
		printf("caravel: 'caravel store repair %s' keeps what can be read\n", dir);
	return rc;
}

int cmd_store_repair(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_free_ char *kept = NULL;
	struct err err = ERR_INIT;
	const char *dir = NULL;
	struct env *env;
	int rc = store_args(&a, argc, argv, &dir, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	env = env_real_new(1);
	rc = store_repair(env, dir, &kept, store_cmd_say, NULL, &err);
	env_real_free(env);
	if (rc < 0)
		return cli_fail_err(&err);
	printf("caravel: '%s' is repaired; the files as they were are in '%s'\n", dir, kept);
	return 0;
}
