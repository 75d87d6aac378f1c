#include "net/unix_ask.h"

#include "base/buf.h"
#include "net/sock.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static int ask_send(int fd, struct sv text, int64_t deadline, struct err *err)
{
	while (text.n) {
		ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);

		if (n > 0) {
			text = sv_sub(text, (size_t)n, text.n);
		} else if (errno == EAGAIN) {
			if (!sock_wait(fd, POLLOUT, deadline))
				return err_set(err, ERR_TIMEOUT, "it does not read what it is asked");
		} else if (errno != EINTR) {
			return err_set_errno(err, errno, "asking");
		}
	}
	return 0;
}

int unix_ask(struct arena *a, const char *path, struct sv text, size_t max, int64_t timeout_ns, struct sv *ret,
	     struct err *err)
{
	_cleanup_(buf_release) struct buf in = BUF_INIT;
	_cleanup_free_ char *target = xasprintf("unix:%s", path);
	int64_t deadline = sock_deadline(timeout_ns);
	_cleanup_close_ int fd = sock_connect(target, 0, deadline, err);
	char room[4096];

	if (fd < 0 || ask_send(fd, text, deadline, err) < 0)
		return -1;
	for (;;) {
		ssize_t n = recv(fd, room, sizeof(room), 0);

		if (n == 0)
			break;
		if (n > 0) {
			if (in.n + (size_t)n > max)
				return err_set(err, ERR_TOO_LARGE, "the answer has more than %zu bytes", max);
			buf_add(&in, room, (size_t)n);
		} else if (errno == EAGAIN) {
			if (!sock_wait(fd, POLLIN, deadline))
				return err_set(err, ERR_TIMEOUT, "it does not answer");
		} else if (errno != EINTR) {
			return err_set_errno(err, errno, "reading the answer");
		}
	}
	*ret = arena_sv(a, buf_sv(&in));
	return 0;
}
