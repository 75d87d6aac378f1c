/* check_haproxy.h - what holds of all that is rendered for HAProxy, whatever texts of users were.
 *
 * The configuration is made of the same bytes, but for the few words of a small alphabet: each of its lines begins with
 * a word of ours, and no byte of it is outside printable ASCII. Map files: one line an entry, a key without blanks.
 */
#pragma once

#include "ingress/render.h"

/* The words that begin a line. */
static const char *const words[] = {
	"global",
	"defaults",
	"frontend",
	"no",
	"backend",
	"userlist",
	"resolvers",
	"expose-experimental-directives",
	"stats",
	"lua-load",
	"log",
	"nbthread",
	"maxconn",
	"tune.ssl.cachesize",
	"ssl-default-bind-options",
	"mode",
	"option",
	"retries",
	"retry-on",
	"timeout",
	"bind",
	"http-request",
	"tcp-request",
	"default-server",
	"http-response",
	"use_backend",
	"default_backend",
	"balance",
	"server",
	"acl",
	"stick-table",
	"dynamic-cookie-key",
	"cookie",
	"user",
	"parse-resolv-conf",
	"hold",
};

static void check_config(struct sv config)
{
	struct sv line;

	while (sv_split(&config, '\n', &line)) {
		struct sv word = line, rest;
		bool known = !sv_trim(line).n;

		word = sv_trim(line);
		rest = word;
		(void)sv_split(&rest, ' ', &word);
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			known |= sv_is(word, words[i]);
		BUG_ON(!known);
		for (size_t i = 0; i < line.n; i++)
			BUG_ON(line.p[i] < ' ' || line.p[i] > '~');
		BUG_ON(sv_find_sv(line, SV("lua")) >= 0 && !sv_is(word, "user") && !sv_is(word, "server") &&
		       !sv_is(word, "cookie") && !sv_is(word, "lua-load") && sv_find_sv(line, SV("req.")) < 0 &&
		       !sv_starts(rest, SV("lua.gate")) && !sv_starts(rest, SV("content lua.gatepass ")));
	}
}

static void check_map(struct sv map)
{
	struct sv line, last = SV("");

	while (map.n && sv_split(&map, '\n', &line)) {
		ssize_t blank = sv_find(line, ' ');

		if (!line.n)
			continue;
		BUG_ON(blank <= 0 || (size_t)blank + 1 >= line.n || line.p[0] == '#');
		BUG_ON(sv_cmp(last, sv_sub(line, 0, (size_t)blank)) >= 0); /* each key once */
		last = sv_sub(line, 0, (size_t)blank);
		for (size_t i = 0; i < line.n; i++)
			BUG_ON(line.p[i] < ' ' || line.p[i] > '~');
	}
}
