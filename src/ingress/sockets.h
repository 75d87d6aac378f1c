/* sockets.h - where a HAProxy is asked and told: each at a socket of its own.
 *
 *	DIR/socket-N.cfg	what it reads besides its configuration: which socket is its
 *	DIR/haproxy-N.sock	N is 0 or 1: of two that follow each other each has another
 *	DIR/haproxy.sock	a link to that of the one which serves, for people
 *
 * Who follows takes all sockets from the one before, but those whose names it has not. Of one name both would listen at
 * one socket until the one before has noticed that it is followed, which a busy machine delays: what the new one is
 * told would reach the old one, and the new one would send requests to who is gone, or to nobody.
 *
 * Threads: any, for one directory one at a time. Asking waits, two seconds at most.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#define ING_SOCKETS 2
#define ING_SOCKET_LINK "haproxy.sock"
/* An earlier Caravel's HAProxy, which may run on behind an upgrade, listens where the link is today: it is followed,
 * and nobody starts one there. */
#define ING_SOCKET_EARLIER ING_SOCKETS

/* Relative to DIR, for i in [0, ING_SOCKETS). */
const char *ing_socket_config(int i);
const char *ing_socket_name(int i);

/* The two socket-*.cfg. */
int ing_sockets_write(const char *dir, struct err *err);
/* One command, or several on lines of which the last has a payload, and the whole answer. */
int ing_socket_ask(struct arena *a, const char *dir, int i, struct sv text, struct sv *ret, struct err *err);
/* Is it the one with this pid that answers? */
bool ing_socket_answers(const char *dir, int i, int pid, struct err *err);
/* At which somebody answers, whoever started it: also ING_SOCKET_EARLIER; -1: at none. */
int ing_socket_find(const char *dir);
/* The one there serves: the link leads to it. */
void ing_socket_serves(const char *dir, int i);
