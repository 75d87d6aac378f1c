/* `caravel completion SHELL`: what a shell reads once to complete caravel's words. It asks `caravel complete` at every
 * <tab>, so that the command table and the tables of flags stay the only lists. */
#include "cli/cli.h"

#include <stdio.h>

/* Where nothing is proposed, the shell proposes files. */
static const struct shell {
	const char *name, *script;
} shells[] = {
	{ "bash", "# bash: source <(caravel completion bash)\n"
		  "_caravel() {\n"
		  "\tlocal IFS=$'\\n'\n"
		  "\tCOMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2> "
		  "/dev/null)\" "
		  "-- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
		  "}\n"
		  "complete -o default -F _caravel caravel\n" },
	{ "zsh",
	  "#compdef caravel\n"
	  "# zsh: source <(caravel completion zsh), after compinit; or as the file _caravel in a directory of fpath\n"
	  "_caravel() {\n"
	  "\tlocal -a candidates\n"
	  "\tcandidates=(${(f)\"$(\"${(e)words[1]}\" complete \"${(@)words[2,CURRENT]}\" 2> /dev/null)\"})\n"
	  "\tif (( ${#candidates} )); then compadd -a candidates; else _files; fi\n"
	  "}\n"
	  "if [[ ${funcstack[1]} == _caravel ]]; then _caravel \"$@\"; else compdef _caravel caravel; fi\n" },
	{ "fish", "# fish: caravel completion fish | source\n"
		  "function __caravel_complete\n"
		  "\tset -l words (commandline -opc)\n"
		  "\t$words[1] complete $words[2..-1] (commandline -ct) 2> /dev/null\n"
		  "end\n"
		  "complete -c caravel -a '(__caravel_complete)'\n" },
};

int cmd_completion(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(shells); i++)
		if (strcmp(argv[1], shells[i].name) == 0) {
			fputs(shells[i].script, stdout);
			return 0;
		}
	return cli_fail("for which shell? 'caravel completion bash', zsh or fish");
}

/* The word of a command's name after its first n, which are words'. */
static bool completion_next_word(const struct command *c, char **words, int n, struct sv *ret)
{
	struct sv rest = sv_from(c->name), word;

	for (int i = 0; i < n; i++)
		if (!sv_split(&rest, ' ', &word) || !sv_is(word, words[i]))
			return false;
	return sv_split(&rest, ' ', ret);
}

/* argv[1] and on are the words of the line up to where it is completed; the last may be empty. */
int cmd_complete(int argc, char **argv)
{
	char **words = argv + 1;
	int n = argc - 2; /* before the one in question */
	struct sv word, last = SV_NULL;
	const struct command *c;
	int used;

	if (n < 0)
		return 0;
	c = cli_find_command(n, words, &used);
	if (c && words[n][0] == '-') {
		_cleanup_free_ char *name = xstrdup(c->name);
		char *list[] = { name, (char[]){ CLI_LIST_FLAGS }, NULL };

		puts("--help");
		return c->flags & CMD_NO_FLAGS ? 0 : c->run(2, list);
	}
	if (c && c->run == cmd_completion && n == 1)
		for (size_t i = 0; i < ARRAY_LEN(shells); i++)
			puts(shells[i].name);
	if (c && c->run == cmd_help)
		words++, n--;
	else if (c)
		return 0;
	/* Commands of a group stand together. */
	for (c = commands; c->name; c++)
		if (!(c->flags & CMD_HIDDEN) && completion_next_word(c, words, n, &word) && !sv_eq(word, last)) {
			printf("%.*s\n", SV_ARG(word));
			last = word;
		}
	return 0;
}
