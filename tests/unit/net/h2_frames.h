/* h2_frames.h - an HTTP/2 client of frames made by hand: prior knowledge, no TLS, blocking. */
#pragma once

#include "base/buf.h"
#include "http_server_fixture.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct frame {
	int type, flags;
	uint32_t stream;
	size_t n;
	unsigned char payload[16384];
};

void put_frame(struct buf *b, int type, int flags, uint32_t stream, struct sv payload);
void send_frame(int fd, int type, int flags, uint32_t stream, struct sv payload);
/* Method by its static-table index, path as a literal: no compression state. */
void put_head(struct buf *b, uint32_t stream, bool post, const char *path, int flags);
void send_head(int fd, uint32_t stream, bool post, const char *path, int flags);
void send_window(int fd, uint32_t stream, uint32_t n);
bool read_frame(int fd, struct frame *f); /* false at the end */
/* Reads until a frame of that type on that stream; false when the connection ends first. */
bool await(int fd, struct frame *f, int type, uint32_t stream);
uint32_t u32_at(const struct frame *f, size_t at);
/* Greets and takes the server's settings: its windows count from there. */
int h2_connect(struct fixture *fx);
