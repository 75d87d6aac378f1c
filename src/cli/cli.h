/* cli.h - the command line: one file per command, one table in main.c. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"

/* What main() does before the command runs, as flags of the command table. */
enum command_flag {
	CMD_NEEDS_ROOT = 1 << 0,
	CMD_HIDDEN = 1 << 1,   /* not in the help */
	CMD_NO_FLAGS = 1 << 2, /* only words: it calls no cli_options_parse() */
};

struct command {
	const char *name; /* "server", "image import" */
	const char *args; /* "FILE", for the help */
	const char *help; /* one line */
	int flags;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};
extern const struct command commands[]; /* ends with a NULL name; those of one group stand together */

/* The command whose name the first words of argv are, and how many these are; NULL: none. */
const struct command *cli_find_command(int argc, char **argv, int *ret_words);

int cmd_server_list(int argc, char **argv);
int cmd_server_remove(int argc, char **argv);
int cmd_server(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_dev(int argc, char **argv);
int cmd_dev_stop(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_cleanup(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_image_import(int argc, char **argv);
int cmd_image_demo(int argc, char **argv);
int cmd_snapshot_ls(int argc, char **argv);
int cmd_snapshot_prune(int argc, char **argv);
int cmd_snapshot_restore(int argc, char **argv);
int cmd_snapshot_save(int argc, char **argv);
int cmd_store_check(int argc, char **argv);
int cmd_store_repair(int argc, char **argv);
int cmd_token_create(int argc, char **argv);
int cmd_token_delete(int argc, char **argv);
int cmd_token_generate(int argc, char **argv);
int cmd_token_list(int argc, char **argv);
int cmd_token_rotate(int argc, char **argv);
int cmd_kube_proxy(int argc, char **argv);
int cmd_kube_apiserver(int argc, char **argv);
int cmd_etcd(int argc, char **argv);
int cmd_kubectl(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_completion(int argc, char **argv);
int cmd_complete(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* "caravel: what\n" on standard error; returns 1. What is not printable is escaped: it may be somebody else's words. */
int cli_fail(const char *fmt, ...) _printf_(1, 2);
/* As printf(), and escaped in the same way: names and words that a server, a file or another cluster has. */
void cli_print(const char *fmt, ...) _printf_(1, 2);
int cli_fail_err(struct err *err); /* prints and releases it */

/* --- options: flags, the configuration file and the environment, one table a command --- */

enum option_kind {
	OPT_BOOL,
	OPT_STRING,
	OPT_INT,
	OPT_LIST, /* repeatable, also comma-separated */
	OPT_ARGS, /* repeatable; flags of another program, whose values may hold commas */
};

struct string_list {
	VEC(const char *) list; /* NULL-terminated by cli_options_parse() */
};

struct option {
	const char *name; /* "data-dir": --data-dir DIR, and data-dir: in the file */
	char letter;	  /* 'd': -d DIR; 0: none */
	enum option_kind kind;
	void *value;	 /* bool *, const char **, int *, struct string_list * */
	const char *arg; /* "DIR", for the help */
	const char *help;
};

/* As the only word: the names of the command's flags are printed, one a line, for a shell's completion. */
#define CLI_LIST_FLAGS "--list-flags"

/* Parses argv into the table's values: flags win over the environment (CARAVEL_DATA_DIR), that over the
 * file. Texts live in a. Other arguments are left in rest (may be NULL: they are errors). Returns 0, 1
 * when help or the names of the flags were printed, -1 with *err. Secrets in argv are overwritten there, once read. */
int cli_options_parse(struct arena *a, const struct option *table, size_t n, int argc, char **argv,
		      const char *config_file, struct string_list *rest, struct err *err);
/* Of words that may be secrets: from then on they are copies in a, and overwritten in argv. */
void cli_words_hide(struct arena *a, char **argv, struct string_list *words);
/* Releases the lists of a table. */
void cli_options_release(const struct option *table, size_t n);
/* Of a flag or key of k3s that is none here: what to do instead; NULL: k3s has none of that name either. */
const char *k3s_flag_instead(struct sv name);
/* Is its value one that neither ps nor /flagz may show? */
bool cli_option_secret(const struct option *o);
/* What an option is now, as upstream prints flags; in a, or as long as the option's value. */
const char *cli_option_text(struct arena *a, const struct option *o);
/* Is -h or --help among the words? */
bool cli_asks_for_help(int argc, char **argv);
void string_list_release(struct string_list *l);
struct buf;
void string_list_join(struct buf *b, const struct string_list *l); /* with commas */
