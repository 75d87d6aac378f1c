#include "base/resolv_conf.h"

#include "base/file.h"

#define RESOLV_CONF_MAX ((size_t)1 << 16)

static bool resolv_word(struct sv *rest, struct sv *ret)
{
	size_t i = 0, n;

	while (i < rest->n && (rest->p[i] == ' ' || rest->p[i] == '\t' || rest->p[i] == '\r'))
		i++;
	for (n = i; n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t' && rest->p[n] != '\r';)
		n++;
	*ret = sv_sub(*rest, i, n - i);
	*rest = sv_sub(*rest, n, rest->n);
	return ret->n > 0;
}

/* False: it does not fit. */
static bool resolv_add(struct sv *list, size_t *n, size_t max, struct sv s)
{
	for (size_t i = 0; i < *n; i++)
		if (sv_eq(list[i], s))
			return true;
	if (*n == max)
		return false;
	list[(*n)++] = s;
	return true;
}

void resolv_conf_add_server(struct resolv_conf *r, struct sv s)
{
	if (!resolv_add(r->servers, &r->n_servers, ARRAY_LEN(r->servers), s))
		r->servers_cut = true;
}

void resolv_conf_add_search(struct resolv_conf *r, struct sv s)
{
	if (s.n > 1 && s.p[s.n - 1] == '.')
		s = sv_sub(s, 0, s.n - 1); /* the same with a dot and without */
	if (!resolv_add(r->searches, &r->n_searches, ARRAY_LEN(r->searches), s))
		r->searches_cut = true;
}

void resolv_conf_add_option(struct resolv_conf *r, struct sv s)
{
	(void)resolv_add(r->options, &r->n_options, ARRAY_LEN(r->options), s);
}

void resolv_conf_parse(struct sv text, struct resolv_conf *r)
{
	struct sv line, key, word;

	while (sv_split(&text, '\n', &line)) {
		if (!resolv_word(&line, &key))
			continue;
		if (sv_is(key, "nameserver") && resolv_word(&line, &word)) {
			resolv_conf_add_server(r, word);
		} else if (sv_is(key, "search")) {
			r->n_searches = 0; /* the last line counts */
			r->searches_cut = false;
			while (resolv_word(&line, &word))
				resolv_conf_add_search(r, word);
		} else if (sv_is(key, "options")) {
			while (resolv_word(&line, &word))
				resolv_conf_add_option(r, word);
		}
	}
}

bool resolv_conf_has_loopback(const struct resolv_conf *r)
{
	for (size_t i = 0; i < r->n_servers; i++)
		if (sv_starts(r->servers[i], SV("127.")) || sv_is(r->servers[i], "::1"))
			return true;
	return false;
}

bool resolv_conf_read(struct arena *a, const char *path, struct resolv_conf *r)
{
	struct sv text;

	if (file_read(a, path, RESOLV_CONF_MAX, &text, NULL) < 0)
		return false;
	resolv_conf_parse(text, r);
	return true;
}

const char *resolv_conf_host_of(struct arena *a, const char *const *files, bool *ret_loopback)
{
	bool loopback = false, found = false;
	const char *first = files[0];

	for (; *files && !found; files += !found) {
		struct resolv_conf *r = ARENA_NEW(a, struct resolv_conf);

		if (!resolv_conf_read(a, *files, r) || !r->n_servers)
			continue;
		found = !resolv_conf_has_loopback(r);
		loopback |= !found;
	}
	if (ret_loopback)
		*ret_loopback = loopback && !found;
	return found ? *files : first;
}

const char *resolv_conf_host_file(struct arena *a, const char *chosen, bool *ret_loopback)
{
	const char *const usual[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", NULL };

	return resolv_conf_host_of(a, chosen ? (const char *const[]){ chosen, NULL } : usual, ret_loopback);
}
