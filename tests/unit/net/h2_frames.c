#include "h2_frames.h"

#include "unit.h"

#include <sys/socket.h>

void put_frame(struct buf *b, int type, int flags, uint32_t stream, struct sv payload)
{
	const unsigned char head[9] = { (unsigned char)(payload.n >> 16),
					(unsigned char)(payload.n >> 8),
					(unsigned char)payload.n,
					(unsigned char)type,
					(unsigned char)flags,
					(unsigned char)(stream >> 24),
					(unsigned char)(stream >> 16),
					(unsigned char)(stream >> 8),
					(unsigned char)stream };

	buf_add(b, head, sizeof(head));
	buf_addsv(b, payload);
}

void send_frame(int fd, int type, int flags, uint32_t stream, struct sv payload)
{
	struct buf b = BUF_INIT;

	put_frame(&b, type, flags, stream, payload);
	client_send(fd, buf_sv(&b));
	buf_release(&b);
}

void put_head(struct buf *b, uint32_t stream, bool post, const char *path, int flags)
{
	struct buf h = BUF_INIT;

	buf_addc(&h, post ? (char)0x83 : (char)0x82);
	buf_addc(&h, (char)0x86);
	buf_addc(&h, 0x01);
	buf_addc(&h, 1);
	buf_addc(&h, 'h');
	buf_addc(&h, 0x04);
	buf_addc(&h, (char)strlen(path));
	buf_adds(&h, path);
	put_frame(b, HEADERS, flags | END_HEADERS, stream, buf_sv(&h));
	buf_release(&h);
}

void send_head(int fd, uint32_t stream, bool post, const char *path, int flags)
{
	struct buf b = BUF_INIT;

	put_head(&b, stream, post, path, flags);
	client_send(fd, buf_sv(&b));
	buf_release(&b);
}

static bool read_all(int fd, void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = recv(fd, (char *)p + at, n - at, 0);

		if (r <= 0)
			return false;
		at += (size_t)r;
	}
	return true;
}

bool read_frame(int fd, struct frame *f)
{
	unsigned char h[9];

	if (!read_all(fd, h, sizeof(h)))
		return false;
	f->n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
	f->type = h[3];
	f->flags = h[4];
	f->stream = (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
	assert_true(f->n <= sizeof(f->payload));
	return read_all(fd, f->payload, f->n);
}

bool await(int fd, struct frame *f, int type, uint32_t stream)
{
	while (read_frame(fd, f)) {
		if (f->type == type && f->stream == stream)
			return true;
	}
	return false;
}

uint32_t u32_at(const struct frame *f, size_t at)
{
	return (uint32_t)f->payload[at] << 24 | (uint32_t)f->payload[at + 1] << 16 | (uint32_t)f->payload[at + 2] << 8 |
	       f->payload[at + 3];
}

void send_window(int fd, uint32_t stream, uint32_t n)
{
	const unsigned char p[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
				     (unsigned char)n };

	send_frame(fd, WINDOW_UPDATE, 0, stream, sv_make((const char *)p, 4));
}

int h2_connect(struct fixture *fx)
{
	int fd = client_connect(fx);
	static struct frame f;

	client_sends(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	send_frame(fd, SETTINGS, 0, 0, SV_NULL);
	assert_true(await(fd, &f, SETTINGS, 0));
	send_frame(fd, SETTINGS, ACK, 0, SV_NULL);
	return fd;
}
