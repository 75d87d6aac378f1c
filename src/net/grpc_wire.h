/* grpc_wire.h - what both gRPC clients (grpc.h, grpc_mux.h) write and read alike. No socket, no clock, no thread.
 *
 * A message on the wire is a byte saying whether it is compressed, four bytes of length, and itself; the status comes
 * in trailers. Source: "gRPC over HTTP2" in the documentation of gRPC.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* The status codes that are told apart here. */
enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
};
#define GRPC_CODE_MAX 16 /* of the specification; what is above it is GRPC_UNKNOWN */

#define GRPC_PREFIX_N ((size_t)5)
#define GRPC_TIMEOUT_TEXT 24

void grpc_prefix(char out[GRPC_PREFIX_N], size_t message_n);
/* The first message in bytes: its length without the prefix, or -1: it is not there as a whole, or -2: it is compressed
 * or has more than max bytes. */
ssize_t grpc_first(struct sv bytes, size_t max);
/* grpc-timeout has at most eight digits and a unit. */
void grpc_timeout_text(char out[GRPC_TIMEOUT_TEXT], int64_t left_ns);
int grpc_code_read(struct sv header);
/* grpc-message is percent-encoded; what is not well-formed stands for itself. Caller frees. */
char *grpc_message_read(struct sv header);
/* What headers and trailers say of an answer. */
struct grpc_answer {
	int http_status, status; /* status -1: no grpc-status came */
	char *message;		 /* owned; NULL: none came */
};
void grpc_answer_header(struct grpc_answer *a, struct sv name, struct sv value);
/* What an answer without a status was: something in between answered, and its HTTP status is all there is. */
int grpc_code_of_http(int http_status);
