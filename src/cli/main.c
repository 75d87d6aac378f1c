/* The command table. A command is one entry here and one file. */
#include "cli/cli.h"
#include "base/version.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

const struct command commands[] = {
	{ "server list", "", "list the servers of a cluster that keeps its objects in their own etcds", 0,
	  cmd_server_list },
	{ "server remove", "NAME", "take a server away for good, which will not come back", 0, cmd_server_remove },
	{ "server", "[flags]", "run a cluster: API server, controllers, scheduler and this node", 0, cmd_server },
	{ "agent", "[flags]", "join a cluster: this machine becomes a node of a server elsewhere", CMD_NEEDS_ROOT,
	  cmd_agent },
	{ "dev stop", "[flags]", "end a cluster that 'caravel dev' has started, and take away what it left",
	  CMD_NEEDS_ROOT, cmd_dev_stop },
	{ "dev", "[flags]", "run a cluster of several nodes on this machine, in network namespaces", CMD_NEEDS_ROOT,
	  cmd_dev },
	{ "diff", "--at A [--at B] [KIND [NAME]]", "show what changed in the cluster between two moments, and by whom",
	  0, cmd_diff },
	{ "image import", "FILE...", "load a docker or OCI image archive into this node", CMD_NEEDS_ROOT,
	  cmd_image_import },
	{ "image demo", "", "make the demo image of the examples on this node", CMD_NEEDS_ROOT, cmd_image_demo },
	{ "cleanup", "[flags]", "end this node's pods and remove what they left on the machine", CMD_NEEDS_ROOT,
	  cmd_cleanup },
	{ "snapshot save", "[FILE|-]", "write the whole cluster, keys included, to a file", 0, cmd_snapshot_save },
	{ "snapshot ls", "", "list the snapshots that a server keeps", 0, cmd_snapshot_ls },
	{ "snapshot prune", "", "remove all but the newest of them", 0, cmd_snapshot_prune },
	{ "snapshot restore", "FILE|-", "make a data directory the cluster that a snapshot holds", 0,
	  cmd_snapshot_restore },
	{ "import", "FILE|DIR", "take over a cluster: an etcd's snapshot, k3s' database, or one that runs", 0,
	  cmd_import },
	{ "store check", "[DIR]", "read all of a data directory's database and name what is damaged", 0,
	  cmd_store_check },
	{ "store repair", "[DIR]", "keep what can be read of a damaged database, and the original", 0,
	  cmd_store_repair },
	{ "token create", "[TOKEN]", "make a token with which machines join, and print it", 0, cmd_token_create },
	{ "token delete", "ID...", "delete tokens", 0, cmd_token_delete },
	{ "token generate", "", "print a token that no cluster knows", 0, cmd_token_generate },
	{ "token list", "", "list the tokens of the cluster", 0, cmd_token_list },
	{ "token rotate", "", "make another token of the server's own, in DIR/server/node-token", 0, cmd_token_rotate },
	{ "kube-proxy", "[flags]", "run the service proxy alone, with kube-proxy's flags and configuration", 0,
	  cmd_kube_proxy },
	{ "kube-apiserver", "[flags]", "run the API server alone, with kube-apiserver's flags: for envtest", 0,
	  cmd_kube_apiserver },
	{ "etcd", "[flags]", "answer as the etcd of a test control plane, whose kube-apiserver stores", 0, cmd_etcd },
	{ "kubectl", "[ARG...]", "run the kubectl that is on the PATH", CMD_NO_FLAGS | CMD_HIDDEN, cmd_kubectl },
	{ "sim", "[flags]", "run a whole cluster in virtual time, from a seed", 0, cmd_sim },
	{ "completion", "SHELL", "print what completes caravel's words in bash, zsh or fish", CMD_NO_FLAGS,
	  cmd_completion },
	{ "complete", "WORD...", "print what may stand for the last word", CMD_NO_FLAGS | CMD_HIDDEN, cmd_complete },
	{ "version", "", "print the version", CMD_NO_FLAGS, cmd_version },
	{ "help", "[COMMAND]", "list commands, or one command's flags", CMD_NO_FLAGS, cmd_help },
	{ NULL, NULL, NULL, 0, NULL },
};

int cmd_version(int argc, char **argv)
{
	if (argc > 1)
		return cli_fail("unexpected argument '%s'; 'caravel help version' says what it takes", argv[1]);
	puts("caravel v" CARAVEL_VERSION " (Kubernetes " KUBERNETES_VERSION ")");
	return 0;
}

/* How many words of argv name the command; 0: they do not. */
static int matches(const struct command *c, int argc, char **argv)
{
	struct sv rest = sv_from(c->name), word;
	int n = 0;

	while (sv_split(&rest, ' ', &word)) {
		if (n >= argc || !sv_is(word, argv[n]))
			return 0;
		n++;
	}
	return n;
}

const struct command *cli_find_command(int argc, char **argv, int *ret_words)
{
	for (const struct command *c = commands; c->name; c++) {
		*ret_words = matches(c, argc, argv);
		if (*ret_words)
			return c;
	}
	return NULL;
}

/* One line of each command, or of those whose first word is group; how many. */
static int list_commands(FILE *to, const char *group)
{
	int n = 0;

	for (const struct command *c = commands; c->name; c++) {
		struct sv rest = sv_from(c->name), word;

		if (group ? !sv_split(&rest, ' ', &word) || !rest.n || !sv_is(word, group)
			  : (c->flags & CMD_HIDDEN) != 0)
			continue;
		if (to)
			fprintf(to, "  %-14s %-10s %s\n", c->name, c->args, c->help);
		n++;
	}
	return n;
}

static int help_one(const struct command *c)
{
	_cleanup_free_ char *name = xstrdup(c->name);
	char *help[] = { name, (char[]){ "--help" }, NULL };

	printf("usage: caravel %s%s%s\n%s\n", c->name, *c->args ? " " : "", c->args, c->help);
	if (c->flags & CMD_NO_FLAGS)
		return 0;
	putchar('\n');
	return c->run(2, help);
}

/* argv: the words that name no command. */
static int unknown_command(int argc, char **argv)
{
	if (!list_commands(NULL, argv[0]))
		return cli_fail("unknown command '%s'; 'caravel help' lists them", argv[0]);
	if (argc > 1)
		return cli_fail("unknown command '%s %s'; 'caravel help %s' lists them", argv[0], argv[1], argv[0]);
	fprintf(stderr, "caravel: '%s' is several commands:\n", argv[0]);
	list_commands(stderr, argv[0]);
	return 1;
}

int cmd_help(int argc, char **argv)
{
	int words;
	const struct command *c;

	if (argc < 2) {
		puts("Caravel is Kubernetes in one small binary.\n\nusage: caravel COMMAND\n");
		list_commands(stdout, NULL);
		return 0;
	}
	c = cli_find_command(argc - 1, argv + 1, &words);
	if (c)
		return help_one(c);
	if (argc == 2 && list_commands(stdout, argv[1]))
		return 0;
	return unknown_command(argc - 1, argv + 1);
}

/* What this program is when it is started under another name: by a link, in the place of upstream's. */
static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} names[] = {
	{ "kube-proxy", cmd_kube_proxy },
	{ "kube-apiserver", cmd_kube_apiserver },
	{ "etcd", cmd_etcd },
	{ "kubectl", cmd_kubectl },
};

int main(int argc, char **argv)
{
	_cleanup_free_ char *name = NULL;
	const struct command *c;
	int words = 0;

	const char *self = argc && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

	/* A peer that hangs up is an error of that write, not the end of the process. */
	signal(SIGPIPE, SIG_IGN);
	/* Nodes of `caravel dev` are started as /proc/self/exe, and are to be found by name as others are. */
	if (argc)
		(void)prctl(PR_SET_NAME, self);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(self, names[i].name) == 0)
			return names[i].run(argc, argv);
	if (argc < 2 || cli_asks_for_help(1, argv + 1))
		return cmd_help(1, argv);
	if (strcmp(argv[1], "--version") == 0)
		return cmd_version(argc - 1, argv + 1);
	c = cli_find_command(argc - 1, argv + 1, &words);
	if (!c && argc == 3 && cli_asks_for_help(1, argv + 2) && list_commands(stdout, argv[1]))
		return 0;
	if (!c)
		return unknown_command(argc - 1, argv + 1);
	/* "complete" is given words of an unfinished line, which may well say --help. */
	if (!(c->flags & CMD_HIDDEN) && cli_asks_for_help(argc - 1 - words, argv + 1 + words))
		return help_one(c);
	if ((c->flags & CMD_NEEDS_ROOT) && geteuid() != 0)
		return cli_fail("'caravel %s' needs root", c->name);
	argv[words] = name = xstrdup(c->name);
	return c->run(argc - words, argv + words);
}
