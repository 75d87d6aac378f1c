#include "cli/supervise.h"

#include "base/crash.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/quarantine.h"
#include "base/retry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYS "supervise"
#define YOUNG_NS (60 * NS_PER_SEC) /* a child this old has shown that it can live */
#define BLAME_NS (3600 * NS_PER_SEC)
#define BLAMES 16
#define KEPT_MAX 8
#define NAME_MAX_ 16

/* Before the third child in a row. */
static const struct retry_policy supervise_retry = { .first_ns = 50 * NS_PER_MS, .max_ns = 30 * NS_PER_SEC };

struct blame {
	char key[sizeof(((struct work_level *)0)->key)];
	int64_t at_ns;
};

struct supervisor {
	const struct supervise_opts *o;
	struct board *board;
	sigset_t before; /* the mask of who called */
	int signals;	 /* signalfd of o->ending and SIGCHLD */
	int ours, theirs;
	pid_t child;
	int64_t started_ns;
	unsigned young_deaths; /* in a row */
	bool ending;
	struct blame blames[BLAMES]; /* a ring */
	size_t n_blames;
};

/* In the parent, and what every child inherits. */
static struct {
	char name[NAME_MAX_];
	int fd;
} kept[KEPT_MAX];
static size_t n_kept;
static int to_parent = -1;

static int64_t now_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* --- descriptors that outlive a child --- */

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

void supervise_keep(const char *name, int fd)
{
	char text[NAME_MAX_] = "";
	union control c = { .room = { 0 } };
	struct iovec io = { text, sizeof(text) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c.room) };

	if (to_parent < 0 || fd < 0)
		return;
	snprintf(text, sizeof(text), "%s", name);
	c.head =
	    (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(&c.head), &fd, sizeof(fd));
	(void)sendmsg(to_parent, &m, MSG_NOSIGNAL | MSG_DONTWAIT); /* without, the next child makes its own */
}

int supervise_kept(const char *name)
{
	for (size_t i = 0; i < n_kept; i++)
		if (strcmp(kept[i].name, name) == 0)
			return fcntl(kept[i].fd, F_DUPFD_CLOEXEC, 3);
	return -1;
}

static void take_kept(struct supervisor *s)
{
	char text[NAME_MAX_] = "";
	union control c = { .room = { 0 } };
	struct iovec io = { text, sizeof(text) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c.room) };
	size_t i = 0;
	int fd;

	if (recvmsg(s->ours, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0 || m.msg_controllen < CMSG_LEN(sizeof(int)) ||
	    c.head.cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&fd, CMSG_DATA(&c.head), sizeof(fd));
	text[NAME_MAX_ - 1] = '\0';
	while (i < n_kept && strcmp(kept[i].name, text) != 0)
		i++;
	if (i == KEPT_MAX) {
		close(fd);
		return;
	}
	if (i < n_kept)
		close(kept[i].fd);
	else
		n_kept++;
	memcpy(kept[i].name, text, sizeof(text));
	kept[i].fd = fd;
}

/* --- a child --- */

static _noreturn_ void run_child(struct supervisor *s, pid_t parent, int (*fn)(void *), void *ctx)
{
	sigset_t mask = s->before;
	int rc;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1); /* it died before the line above */
	close(s->signals);
	close(s->ours);
	to_parent = s->theirs;
	sigorset(&mask, &mask, &s->o->ending); /* none gets lost before sigwait() is there */
	sigprocmask(SIG_SETMASK, &mask, NULL);
	crash_install(NULL);
	rc = fn(ctx);
	exit(rc);
}

static void supervise_start(struct supervisor *s, int (*fn)(void *), void *ctx)
{
	pid_t self = getpid();

	if (madvise(s->board, sizeof(*s->board), MADV_REMOVE) < 0) /* all zero, and no memory */
		memset(s->board, 0, sizeof(*s->board));
	s->board->supervisor = self;
	s->started_ns = now_ns(CLOCK_MONOTONIC);
	s->child = fork();
	if (s->child == 0)
		run_child(s, self, fn, ctx);
}

/* --- its death --- */

/* Whether key has been blamed within the last hour; it has from now on. */
static bool blamed_before(struct supervisor *s, const char *key)
{
	int64_t now = now_ns(CLOCK_MONOTONIC);
	struct blame *b;

	for (size_t i = 0; i < MIN(s->n_blames, (size_t)BLAMES); i++)
		if (strcmp(s->blames[i].key, key) == 0 && now - s->blames[i].at_ns < BLAME_NS)
			return true;
	b = &s->blames[s->n_blames++ % BLAMES];
	snprintf(b->key, sizeof(b->key), "%s", key);
	b->at_ns = now;
	return false;
}

static void set_aside(struct supervisor *s, const char *key)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!key[0] || !blamed_before(s, key))
		return;
	if (quarantine_add(s->o->dir, sv_from(key), &err) < 0)
		log_kv(LVL_ERROR, SYS, "ended the server twice and cannot be set aside", "object", key, "error",
		       err_msg(&err), NULL);
	else
		log_kv(LVL_ERROR, SYS, "ended the server twice and is set aside", "object", key, "list", s->o->dir,
		       NULL);
}

/* The report, the list of what is set aside, and a line in the log. */
static void bury(struct supervisor *s, pid_t pid, int status)
{
	const char *signame = sigabbrev_np(WTERMSIG(status)), *key = board_blame(s->board);
	char path[CRASH_PATH_MAX], how[64];

	snprintf(how, sizeof(how), "killed by SIG%s%s", signame ? signame : "?",
		 WCOREDUMP(status) ? ", core dumped" : "");
	(void)dir_make(s->o->dir, 0700, NULL);
	crash_report(s->board, s->o->dir, pid, now_ns(CLOCK_REALTIME), how, path);
	log_kv(LVL_ERROR, SYS, "the server died and is started again", "how", how, "report", path, "object", key, NULL);
	set_aside(s, key);
	crash_prune(s->o->dir);
}

/* A child that died old is replaced at once, and so is the first that died young. */
static int64_t pause_ns(struct supervisor *s)
{
	if (now_ns(CLOCK_MONOTONIC) - s->started_ns >= YOUNG_NS)
		s->young_deaths = 0;
	return s->young_deaths++ < 2 ? 0 : retry_pause_ns(&supervise_retry, s->young_deaths - 2);
}

/* --- the parent --- */

static void pass_on(struct supervisor *s, int signum)
{
	s->ending = true;
	if (s->child > 0)
		kill(s->child, signum);
}

/* Until the child has ended or, without one, for ns. Returns its status word in *ret; false: there was none. */
static bool wait_child(struct supervisor *s, int64_t ns, int *ret)
{
	int64_t until = now_ns(CLOCK_MONOTONIC) + ns;
	struct pollfd p[] = { { .fd = s->signals, .events = POLLIN }, { .fd = s->ours, .events = POLLIN } };

	for (;;) {
		struct signalfd_siginfo si;
		int64_t left = until - now_ns(CLOCK_MONOTONIC);

		if (s->child > 0 && waitpid(s->child, ret, WNOHANG) == s->child)
			return true;
		if (s->child <= 0 && (left <= 0 || s->ending))
			return false;
		if (poll(p, 2, s->child > 0 ? -1 : (int)(left / NS_PER_MS) + 1) <= 0)
			continue;
		if (p[1].revents)
			take_kept(s);
		if (p[0].revents && read(s->signals, &si, sizeof(si)) == (ssize_t)sizeof(si) && si.ssi_signo != SIGCHLD)
			pass_on(s, (int)si.ssi_signo);
	}
}

static int keep_alive(struct supervisor *s, int (*fn)(void *), void *ctx)
{
	for (;;) {
		pid_t pid;
		int status = 0;

		supervise_start(s, fn, ctx);
		if (s->child < 0) {
			log_error(SYS, "cannot fork", "error", "%s", strerror(errno));
		} else {
			(void)wait_child(s, 0, &status);
			pid = s->child;
			s->child = 0;
			if (WIFEXITED(status) && (WEXITSTATUS(status) != SUPERVISE_AGAIN || s->ending))
				return WEXITSTATUS(status);
			if (s->ending) /* somebody lost patience */
				return 128 + WTERMSIG(status);
			take_kept(s); /* what it sent last */
			if (WIFSIGNALED(status))
				bury(s, pid, status);
		}
		s->child = 0;
		(void)wait_child(s, pause_ns(s), &status);
		if (s->ending)
			return 0;
	}
}

int supervise(const struct supervise_opts *o, int (*fn)(void *ctx), void *ctx)
{
	struct supervisor *s = xcalloc(1, sizeof(*s));
	sigset_t watched = o->ending;
	int pair[2] = { -1, -1 }, rc;

	s->o = o;
	s->board = mmap(NULL, sizeof(*s->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigaddset(&watched, SIGCHLD);
	sigprocmask(SIG_BLOCK, &watched, &s->before);
	s->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->board == MAP_FAILED || s->signals < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		/* A machine this short of everything gets a server all the same. */
		log_warn(SYS, "the server runs without a supervisor", "error", "%s", strerror(errno));
		rc = fn(ctx);
	} else {
		s->ours = pair[0];
		s->theirs = pair[1];
		board_use(s->board);
		rc = keep_alive(s, fn, ctx);
	}
	close(s->signals);
	close(pair[0]);
	close(pair[1]);
	for (size_t i = 0; i < n_kept; i++)
		close(kept[i].fd);
	n_kept = 0;
	sigprocmask(SIG_SETMASK, &s->before, NULL);
	board_use(NULL);
	if (s->board != MAP_FAILED)
		munmap(s->board, sizeof(*s->board));
	free(s);
	return rc;
}
