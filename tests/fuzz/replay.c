/* replay.c - runs every file of a corpus through a fuzz target, once.
 *
 * A fuzz target is a file with LLVMFuzzerTestOneInput(). Built with clang -fsanitize=fuzzer it
 * searches; linked with this main() it replays what is in the tree, so that `make test` keeps
 * every input that once mattered. Arguments: files or directories. Prints TAP.
 */
#include "base/base.h"
#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_run, n_failed;

static void replay_file(const char *path)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char piece[4096];
	FILE *f = fopen(path, "re");
	uint8_t *exact;
	size_t n;

	n_run++;
	if (!f) {
		n_failed++;
		printf("not ok %d - %s: %s\n", n_run, path, strerror(errno));
		return;
	}
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add(&b, piece, n);
	fclose(f);
	/* A copy of the exact size: a sanitizer sees a read behind the end. */
	exact = xmalloc(b.n ? b.n : 1);
	if (b.n)
		memcpy(exact, b.p, b.n);
	LLVMFuzzerTestOneInput(exact, b.n);
	free(exact);
	printf("ok %d - %s\n", n_run, path);
}

static void replay(const char *path)
{
	struct dirent **entries;
	struct stat st;
	int n;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	n = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			_cleanup_free_ char *inner = xasprintf("%s/%s", path, entries[i]->d_name);

			replay(inner);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("1..%d\n", n_run);
	return n_run == 0 || n_failed > 0;
}
