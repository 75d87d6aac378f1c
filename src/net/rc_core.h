/* rc_core.h - the translator of exec and attach, on buffers; only remotecommand.c and tests include it.
 *
 *	client: WebSocket, one message a piece            backend: SPDY/3.1, one stream a channel
 *
 *	[0] stdin    ------------------------------->     streamtype stdin
 *	[1] stdout   <-------------------------------     streamtype stdout
 *	[2] stderr   <-------------------------------     streamtype stderr
 *	[3] error    <-------------------------------     streamtype error
 *	[4] resize   ------------------------------->     streamtype resize
 *	[255] n      closes channel n (v5)                FIN
 *
 * Feed it what came from either side; what is to be sent collects in to_client and to_backend,
 * which the owner empties. The verdict (the error channel) is held back until stdout and stderr
 * have ended, so that nothing follows it. Not thread-safe.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "net/spdy.h"
#include "net/ws.h"

/* Channel numbers, fixed by the protocol. */
enum rc_channel { RC_STDIN, RC_STDOUT, RC_STDERR, RC_ERROR, RC_RESIZE, _RC_MAX };

enum rc_state {
	RC_OPENING, /* the client is there, the backend not yet */
	RC_RUNNING,
	RC_ENDED, /* the verdict and a close frame are on their way; waiting for the client's */
	RC_DONE,  /* the client answered it, left, or broke the protocol: both ends can be closed */
};

struct rc_stream {
	uint32_t id;	 /* SPDY stream, 0: not wanted */
	bool replied;	 /* the backend took it: data may be sent */
	bool ended;	 /* the backend sends no more on it */
	bool fin_wanted; /* the client closed it */
	bool fin_sent;
	struct buf held; /* client's bytes from before the reply */
};

struct rc_core {
	enum rc_state state;
	int version; /* 1, 4 or 5 */
	bool base64;
	struct ws ws;
	struct spdy *spdy;
	struct rc_stream streams[_RC_MAX];
	struct buf verdict; /* what came on the error stream */
	struct buf scratch;
	struct buf to_client, to_backend;
	uint32_t next_ping;
};

/* Subprotocols in the order of preference, NULL-terminated: for ws_accept(). */
extern const char *const rc_subprotocols[];

struct rc_core *rc_core_new(const char *subprotocol, bool want_stdin, bool want_stdout, bool want_stderr, bool tty);
struct rc_core *rc_core_free(struct rc_core *c);
/* What to ask of the backend in X-Stream-Protocol-Version. */
const char *rc_core_backend_protocol(const struct rc_core *c);
void rc_core_start(struct rc_core *c); /* the backend is there: opens the streams */
void rc_core_client(struct rc_core *c, struct sv bytes);
void rc_core_backend(struct rc_core *c, struct sv bytes);
/* The backend's connection ended, or never came to be: why, or NULL at an orderly end. */
void rc_core_backend_end(struct rc_core *c, const struct err *why);
/* Ends with a verdict of our own: a Status as JSON, passed through. */
void rc_core_fail_status(struct rc_core *c, struct sv status_json);
/* Keep connections from idling out, and make a peer's machine say that nobody is there any more. */
void rc_core_ping(struct rc_core *c); /* the backend */
void rc_core_ping_client(struct rc_core *c);
/* Has the backend taken every stream? */
bool rc_core_opened(const struct rc_core *c);
/* The client should not be read: its bytes would have to be kept here. */
bool rc_core_holds(const struct rc_core *c);
