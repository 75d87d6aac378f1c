/* Child processes: fork and exec, watched through pidfds.
 *
 * One thread for the whole process, started with the first child that needs it, does two
 * things. It waits for the exit of all children of child_start() with one epoll; and it forks
 * those that shall die with us, because PR_SET_PDEATHSIG fires when the *thread* that forked
 * ends, and only this one lives as long as the process does.
 *
 * Between fork and exec only async-signal-safe calls are made; a failure there travels back as
 * an errno through a pipe that a successful exec closes.
 */
#include "base/arena.h"
#include "ev/ev-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEEPER_STACK ((size_t)128 * 1024)

struct child {
	struct env *env;
	enum env_class class;
	void (*exited)(int status, void *ctx);
	void *ctx;
	int pid, pidfd;
	int status;
	/* Under keeper.lock: the caller and the watching thread each hold one. */
	int refs;
	bool detached; /* child_free() came before the end: exited is not called */
	bool told;     /* exited is being called, or was */
	bool ended;
};

struct spawn_request {
	struct list link;
	const struct child_opts *o;
	struct err *err;
	int pid;
	bool done;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t spawned;
	pthread_once_t once;
	bool running;
	int epfd, wake;
	struct list spawns; /* struct spawn_request */
} keeper = { .lock = PTHREAD_MUTEX_INITIALIZER,
	     .spawned = PTHREAD_COND_INITIALIZER,
	     .once = PTHREAD_ONCE_INIT,
	     .epfd = -1,
	     .wake = -1 };

/* In the new process. Never returns. */
static _noreturn_ void child_exec(const struct child_opts *o, int report, pid_t parent)
{
	const int want[3] = { o->stdin_fd, o->stdout_fd, o->stderr_fd };
	sigset_t none;
	int fds[3], e;

	if (o->new_session && setsid() < 0)
		goto fail;
	if (o->die_with_parent) {
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
			goto fail;
		if (getppid() != parent) /* it died before the line above */
			_exit(127);
	}
	/* First out of the way of 0..2, then into place: the three may be any permutation. */
	for (int i = 0; i < 3; i++) {
		int fd = want[i];

		if (fd < 0 && i == 0)
			fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		else if (fd < 0)
			fd = i;
		fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0 && (want[i] >= 0 || i == 0))
			goto fail;
	}
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0 && dup2(fds[i], i) < 0)
			goto fail;
	}
	if (o->cwd && chdir(o->cwd) < 0)
		goto fail;
	/* Whatever a library left open without O_CLOEXEC stays ours. */
	(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvpe(o->argv[0], (char *const *)(uintptr_t)o->argv, o->envp ? (char *const *)(uintptr_t)o->envp : environ);
fail:
	e = errno;
	(void)!write(report, &e, sizeof(e));
	_exit(127);
}

static int child_fork(const struct child_opts *o, struct err *err)
{
	int report[2], e = 0;
	sigset_t all, old;
	pid_t pid, self = getpid();
	ssize_t r;

	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set_errno(err, errno, "starting '%s'", o->argv[0]);
	/* No handler of ours may run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child_exec(o, report[1], self);
	e = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return err_set_errno(err, e, "starting '%s'", o->argv[0]);
	}
	do
		r = read(report[0], &e, sizeof(e));
	while (r < 0 && errno == EINTR);
	close(report[0]);
	if (r == 0)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return err_set_errno(err, r == (ssize_t)sizeof(e) ? e : EIO, "starting '%s'", o->argv[0]);
}

static void child_drop(struct child *c) /* keeper.lock held */
{
	if (--c->refs > 0)
		return;
	close(c->pidfd);
	free(c);
}

static void child_tell(void *p)
{
	struct child *c = p;
	bool detached;

	pthread_mutex_lock(&keeper.lock);
	detached = c->detached;
	c->told = !detached;
	pthread_mutex_unlock(&keeper.lock);
	if (!detached)
		c->exited(c->status, c->ctx);
	pthread_mutex_lock(&keeper.lock);
	child_drop(c);
	pthread_mutex_unlock(&keeper.lock);
}

/* Collects an ended child; waitpid's status word. */
static int child_reap(int pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void *keeper_main(void *p)
{
	struct epoll_event ev[16];

	(void)p;
	for (;;) {
		int n = epoll_wait(keeper.epfd, ev, ARRAY_LEN(ev), -1);

		for (int i = 0; i < n; i++) {
			struct child *c = ev[i].data.ptr;
			bool tell;

			if (!c) {
				uint64_t count;

				(void)!read(keeper.wake, &count, sizeof(count));
				continue;
			}
			epoll_ctl(keeper.epfd, EPOLL_CTL_DEL, c->pidfd, NULL);
			pthread_mutex_lock(&keeper.lock);
			/* Inside the lock: child_kill() never meets a collected, reused pid. */
			c->status = child_reap(c->pid);
			c->ended = true;
			tell = !c->detached;
			if (!tell)
				child_drop(c);
			pthread_mutex_unlock(&keeper.lock);
			if (tell)
				env_post(c->env, c->class, child_tell, c);
		}
		pthread_mutex_lock(&keeper.lock);
		LIST_EACH(&keeper.spawns, it) {
			struct spawn_request *r = LIST_ENTRY(it, struct spawn_request, link);

			list_del(it);
			r->pid = child_fork(r->o, r->err);
			r->done = true;
			pthread_cond_broadcast(&keeper.spawned);
		}
		pthread_mutex_unlock(&keeper.lock);
	}
	return NULL;
}

static void keeper_start(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	list_init(&keeper.spawns);
	keeper.epfd = epoll_create1(EPOLL_CLOEXEC);
	keeper.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (keeper.epfd < 0 || keeper.wake < 0 || epoll_ctl(keeper.epfd, EPOLL_CTL_ADD, keeper.wake, &ev) < 0)
		return;
	keeper.running = ev_thread_start("children", KEEPER_STACK, keeper_main, NULL) == 0;
}

static int keeper_need(struct err *err)
{
	pthread_once(&keeper.once, keeper_start);
	if (!keeper.running)
		return err_set(err, ERR_INTERNAL, "cannot start the thread that watches child processes");
	return 0;
}

static int child_spawn(const struct child_opts *o, struct err *err)
{
	struct spawn_request r = { .o = o, .err = err };
	const uint64_t one = 1;

	if (!o->die_with_parent)
		return child_fork(o, err);
	if (keeper_need(err) < 0)
		return -1;
	pthread_mutex_lock(&keeper.lock);
	list_add_tail(&keeper.spawns, &r.link);
	(void)!write(keeper.wake, &one, sizeof(one));
	while (!r.done)
		pthread_cond_wait(&keeper.spawned, &keeper.lock);
	pthread_mutex_unlock(&keeper.lock);
	return r.pid;
}

struct child *child_start(struct env *e, const struct child_opts *o, void (*exited)(int status, void *ctx), void *ctx,
			  struct err *err)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct child *c;
	int pid, fd;

	if (keeper_need(err) < 0)
		return NULL;
	pid = child_spawn(o, err);
	if (pid < 0)
		return NULL;
	fd = pidfd_open(pid, 0);
	if (fd < 0) {
		(void)err_set_errno(err, errno, "watching '%s'", o->argv[0]);
		kill(pid, SIGKILL);
		child_reap(pid);
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->env = e;
	c->class = o->class;
	c->exited = exited;
	c->ctx = ctx;
	c->pid = pid;
	c->pidfd = fd;
	c->refs = 2;
	ev.data.ptr = c;
	if (epoll_ctl(keeper.epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		(void)err_set_errno(err, errno, "watching '%s'", o->argv[0]);
		kill(pid, SIGKILL);
		child_reap(pid);
		close(fd);
		free(c);
		return NULL;
	}
	return c;
}

int child_kill(struct child *c, int signum)
{
	int r = -1;

	pthread_mutex_lock(&keeper.lock);
	if (!c->ended)
		r = kill(c->pid, signum);
	pthread_mutex_unlock(&keeper.lock);
	return r;
}

int child_pid(const struct child *c)
{
	return c->pid;
}

bool child_detach(struct child *c)
{
	bool told;

	pthread_mutex_lock(&keeper.lock);
	told = c->told;
	if (!told) {
		c->detached = true;
		child_drop(c);
	}
	pthread_mutex_unlock(&keeper.lock);
	return !told;
}

struct child *child_free(struct child *c)
{
	if (!c)
		return NULL;
	pthread_mutex_lock(&keeper.lock);
	c->detached = true;
	child_drop(c);
	pthread_mutex_unlock(&keeper.lock);
	return NULL;
}

/* --- child_run() --- */

static int64_t run_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* Reads what is there. False at the end of the stream. Bytes beyond max are read and dropped,
 * so that a talkative child does not block. */
static bool run_read(int fd, struct buf *b, size_t max)
{
	char tmp[4096];
	ssize_t r = read(fd, tmp, sizeof(tmp));

	if (r < 0)
		return errno == EINTR || errno == EAGAIN;
	if (r > 0 && b && b->n < max)
		buf_add(b, tmp, MIN((size_t)r, max - b->n));
	return r > 0;
}

int child_run(const struct child_opts *o, int64_t timeout_ns, size_t max, struct buf *out, struct buf *errout,
	      int *ret_status, struct err *err)
{
	_cleanup_close_ int out_r = -1, out_w = -1, err_r = -1, err_w = -1, pidfd = -1;
	struct child_opts mine = *o;
	struct buf *sink[2] = { out, errout };
	int64_t deadline = run_now_ns() + timeout_ns;
	bool timed_out = false, ended = false;
	struct pollfd p[3];
	int pid, pipes[2];

	if (out) {
		if (pipe2(pipes, O_CLOEXEC) < 0)
			return err_set_errno(err, errno, "starting '%s'", o->argv[0]);
		out_r = pipes[0];
		mine.stdout_fd = out_w = pipes[1];
	}
	if (errout) {
		if (pipe2(pipes, O_CLOEXEC) < 0)
			return err_set_errno(err, errno, "starting '%s'", o->argv[0]);
		err_r = pipes[0];
		mine.stderr_fd = err_w = pipes[1];
	}
	pid = child_spawn(&mine, err);
	if (pid < 0)
		return -1;
	close_fdp(&out_w);
	out_w = -1;
	close_fdp(&err_w);
	err_w = -1;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		(void)err_set_errno(err, errno, "watching '%s'", o->argv[0]);
		kill(pid, SIGKILL);
		child_reap(pid);
		return -1;
	}

	p[0] = (struct pollfd){ .fd = out_r, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = err_r, .events = POLLIN };
	p[2] = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	while (!ended || p[0].fd >= 0 || p[1].fd >= 0) {
		int64_t left = deadline - run_now_ns();
		int n;

		if (left <= 0) {
			timed_out = true;
			break;
		}
		/* Once it has ended, only what is already in the pipes counts: a grandchild that
		 * keeps them open must not keep us. */
		n = poll(p, 3, ended ? 0 : (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, INT_MAX));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && ended)
			break;
		for (int i = 0; i < 2; i++) {
			if (p[i].fd >= 0 && p[i].revents && !run_read(p[i].fd, sink[i], max))
				p[i].fd = -1;
		}
		if (p[2].fd >= 0 && p[2].revents) {
			ended = true;
			p[2].fd = -1;
		}
	}
	if (!ended)
		kill(pid, SIGKILL);
	*ret_status = child_reap(pid);
	if (timed_out && !ended)
		return err_set(err, ERR_TIMEOUT, "'%s' did not finish within %" PRId64 " ms", o->argv[0],
			       timeout_ns / NS_PER_MS);
	return 0;
}
