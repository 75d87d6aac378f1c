#include "kubelet/env_file.h"
#include "kubelet/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MALFORMED "invalid environment variable format at line %zu: %s"

static struct sv env_file_skip_blanks(struct sv s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = sv_sub(s, 1, s.n);
	return s;
}

/* A line that ends in \r\n ends before both. */
static struct sv line_of(struct sv rest)
{
	ssize_t end = sv_find(rest, '\n');
	struct sv line = end < 0 ? rest : sv_sub(rest, 0, (size_t)end);

	return line.n && line.p[line.n - 1] == '\r' ? sv_sub(line, 0, line.n - 1) : line;
}

static struct sv after_line(struct sv rest)
{
	ssize_t end = sv_find(rest, '\n');

	return end < 0 ? SV("") : sv_sub(rest, (size_t)end + 1, rest.n);
}

/* One assignment at the beginning of *rest; *rest goes on behind its last line, *line counts. */
static int assignment(struct sv *rest, size_t *line, struct sv *ret_name, struct sv *ret_value, struct err *err)
{
	struct sv text = env_file_skip_blanks(line_of(*rest)), value;
	ssize_t eq = sv_find(text, '='), close;
	size_t begun = *line;

	if (eq < 0)
		return err_set(err, ERR_INVALID, MALFORMED, begun, "missing '='");
	*ret_name = sv_sub(text, 0, (size_t)eq);
	if (!sv_trim(*ret_name).n)
		return err_set(err, ERR_INVALID, MALFORMED, begun, "empty variable name");
	if (strchr(" \t", ret_name->p[ret_name->n - 1]))
		return err_set(err, ERR_INVALID, MALFORMED, begun, "whitespace before '='");
	/* From here on in the whole rest: the value may go over lines. */
	value = sv_sub(*rest, (size_t)(text.p - rest->p) + (size_t)eq + 1, rest->n);
	*ret_value = SV("");
	if (!line_of(value).n)
		return err_set(err, ERR_INVALID, MALFORMED, begun, "value must be enclosed in single quotes");
	if (value.p[0] == ' ' || value.p[0] == '\t') { /* as a shell: nothing is assigned, what follows is a command */
		*rest = after_line(*rest);
		++*line;
		return 0;
	}
	if (value.p[0] != '\'')
		return err_set(err, ERR_INVALID, MALFORMED, begun, "value must be enclosed in single quotes");
	value = sv_sub(value, 1, value.n);
	close = sv_find(value, '\'');
	if (close < 0)
		return err_set(err, ERR_INVALID,
			       "invalid environment variable format starting at line %zu: unclosed single quote",
			       begun);
	*ret_value = sv_sub(value, 0, (size_t)close);
	for (size_t i = 0; i < ret_value->n; i++)
		*line += ret_value->p[i] == '\n';
	value = sv_sub(value, (size_t)close + 1, value.n);
	text = env_file_skip_blanks(line_of(value));
	if (text.n && text.p[0] != '#')
		return err_set(err, ERR_INVALID, MALFORMED, *line, "unexpected content after closing quote");
	*rest = after_line(value);
	++*line;
	return 0;
}

int env_file_find(struct sv text, struct sv key, bool *ret_found, struct sv *ret, struct err *err)
{
	struct sv rest = text, name, value;
	size_t line = 1;

	*ret_found = false;
	while (rest.n) {
		struct sv begin = env_file_skip_blanks(line_of(rest));

		if (!begin.n || begin.p[0] == '#') {
			rest = after_line(rest);
			line++;
			continue;
		}
		if (assignment(&rest, &line, &name, &value, err) < 0)
			return -1;
		if (sv_eq(name, key)) {
			*ret_found = true;
			*ret = value;
			return 0;
		}
	}
	return 0;
}

int env_file_read(const char *root, const char *path, struct buf *ret, struct err *err)
{
	/* Links inside the volume are fine: what is in it is the container's choice, a pipe for one. */
	_cleanup_close_ int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct stat st;
	char part[4096];
	ssize_t got;

	if (dir < 0)
		return err_set_errno(err, errno, "opening volume '%s'", root);
	fd = beneath_in_root(dir, path, O_RDONLY);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(err, ERR_NOT_FOUND, "there is no file '%s'", path);
	if (fd < 0)
		return err_set_errno(err, errno, "opening '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "looking at '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "'%s' is no file", path);
	while ((got = read(fd, part, sizeof(part))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set_errno(err, errno, "reading '%s'", path);
		if (ret->n + (size_t)got > ENV_FILE_MAX)
			return err_set(err, ERR_INVALID, "'%s' is larger than %d bytes", path, ENV_FILE_MAX);
		buf_add(ret, part, (size_t)got);
	}
	return 0;
}
