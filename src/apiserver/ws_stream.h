/* ws_stream.h - a streamed answer as WebSocket messages, for clients that cannot read a response as it comes
 * (browsers): watch and logs by GET with an upgrade.
 *
 *	watch	each event is a message, of text unless its encoding is binary
 *	else	each piece is a binary message; the first one is empty, as upstream's
 *
 * Subprotocol base64.binary.k8s.io: text messages with base64 in them; binary.k8s.io, or none: as above. What the
 * client sends is read for its end only.
 *
 * Loop thread only; q->user_data is in use from the begin on.
 */
#pragma once

#include "apiserver/api_req.h"

/* The four of struct api_sink. */
void ws_stream_begin(struct api_req *q, const char *content_type);
size_t ws_stream_write(struct api_req *q, const struct http_chunk *c);
size_t ws_stream_event(struct api_req *q, bool binary, const struct http_chunk *chunks, size_t n);
void ws_stream_end(struct api_req *q);
