/* grpc.h - a gRPC client over HTTP/2 (nghttp2) on a unix socket or tcp, blocking.
 *
 * For worker threads: each call takes a connection from the channel's pool, or makes one.
 * Messages are bytes; codecs are the caller's (protobuf-c).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct grpc_channel; /* any thread */
struct grpc_channel *grpc_channel_new(const char *target /* "unix:/path", "unix:@name" or "host:port" */);
/* For programs that are somebody else's, before the first call: answers of more than answer_max bytes are refused, and
 * a server that does not listen yet is waited for, as long as the call's timeout allows. */
#define GRPC_ANSWER_MAX ((size_t)4 * 1024 * 1024) /* what gRPC's own clients take */
void grpc_channel_outside(struct grpc_channel *c, size_t answer_max, bool wait_ready);
/* Failures are worded as Go's clients word them, "rpc error: code = NotFound desc = ...": who reads them knows that. */
void grpc_channel_say_codes(struct grpc_channel *c);
struct grpc_channel *grpc_channel_free(struct grpc_channel *c);

/* Unary call; timeout_ns <= 0: none. Response in the arena, at most 16 MiB if nothing else was said. A non-OK
 * grpc-status becomes err: NOT_FOUND(5) -> ERR_NOT_FOUND, ALREADY_EXISTS(6) -> ERR_ALREADY_EXISTS, DEADLINE_EXCEEDED(4)
 * -> ERR_TIMEOUT, UNAVAILABLE(14) and connection failures -> ERR_UNAVAILABLE, UNIMPLEMENTED(12) ->
 * ERR_METHOD_NOT_ALLOWED, others ERR_INTERNAL; msg is grpc-message. */
int grpc_call(struct grpc_channel *c, struct arena *a, const char *method /* "/runtime.v1.RuntimeService/Version" */,
	      struct sv request, int64_t timeout_ns, struct sv *ret_response, struct err *err);
/* What gRPC calls the status that such an err came of: "DeadlineExceeded", ... */
const char *grpc_code_name(const struct err *err);
/* The same, given up with ERR_UNAVAILABLE when stop_fd can be read (-1: never). The server sees the end of the
 * connection, which cancels. */
int grpc_call_until(struct grpc_channel *c, struct arena *a, const char *method, struct sv request, int64_t timeout_ns,
		    int stop_fd, struct sv *ret_response, struct err *err);

/* Server-streaming call on the calling thread until the server ends it, message() returns
 * non-zero, or stop_fd (an eventfd, say; -1: none) can be read: all of these return 0. While the server is silent the
 * thread sleeps. */
int grpc_call_stream(struct grpc_channel *c, const char *method, struct sv request,
		     int (*message)(struct sv msg, void *ctx), void *ctx, int stop_fd, struct err *err);
