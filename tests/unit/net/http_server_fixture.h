/* http_server_fixture.h - a server with test handlers, on loops with threads of their own.
 *
 *	/echo		method, path, query, body, as text
 *	/later		the same, answered from another thread
 *	/size?n=N	N bytes; byte i is 'a' + i % 26
 *	/arena?n=N	as /size, and shed is counted when the request's arena goes
 *	/source?n=N	the same, made while it is sent; with &unknown, of unknown length
 *	/stream?n=N	the same, streamed in pieces, stopping at a bound until on_drain
 *	/torn		a streamed answer torn in the middle
 *	/hold		unanswered until the peer is gone or fixture_release()
 *	/watch		a streamed answer that stays open
 *	/upgrade	a tunnel that echoes, and closes after "bye"
 *	/peer		what is known of the client
 *	/up/count	a body that streams: how long it was, and whether it was the pattern and whole
 *	/up/rest	the same; the first piece is the last one until fixture_release()
 *	/up/refuse	an answer without it
 *	/up/first	an answer behind its first piece
 */
#pragma once

#include "ev/ev.h"
#include "net/http.h"

#include <pthread.h>

struct fixture {
	struct env *env;
	struct ev_loop *loops[2];
	pthread_t threads[2];
	struct http_server *server;
	int port;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int gone, held, watches, drains, tunnels_closed, too_large, sources_released, calmed, shed;
	char calmed_for[200]; /* the last one's oddities */
	size_t source_made;   /* bytes the last /source was asked for so far */
	size_t most_queued;
	int uploads;	       /* pieces told, of all /up */
	uint64_t up_bytes;     /* and bytes, of the last one */
	struct http_req *hold; /* the last /hold */
};

void fixture_start(struct fixture *f, const struct http_server_opts *o); /* handler and ctx are filled in */
void fixture_stop(struct fixture *f, int64_t grace_ns);
/* The same as cmocka wants them, of one fixture at a time; it is the state. */
int fixture_setup(void **state, const struct http_server_opts *o);
int fixture_teardown(void **state);
void fixture_wait(struct fixture *f, const int *counter, int at_least); /* one of f's own */
void fixture_release(struct fixture *f);				/* answers the held request, or lets it go on */

/* A blocking client. */
int client_connect(const struct fixture *f);
void client_send(int fd, struct sv bytes);
void client_sends(int fd, const char *text);
/* Reads until the end of the stream, or until `until` was seen (NULL: the end). NUL-terminated, caller frees. */
char *client_read(int fd, const char *until, size_t *ret_n);
bool client_at_end(int fd); /* true when the peer closed and nothing is left */
