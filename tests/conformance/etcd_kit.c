#include "etcd_kit.h"

#include "free_port.h"
#include "unit.h"

#include "base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 40

bool etcd_installed(void)
{
	struct sv rest = sv_from(getenv("PATH")), dir;
	char path[512];

	while (sv_split(&rest, ':', &dir)) {
		snprintf(path, sizeof(path), "%.*s/etcd", SV_ARG(dir));
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

struct argv {
	char text[ARGS_MAX][400];
	char *v[ARGS_MAX + 1];
	int n;
};

static void argv_add(struct argv *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void argv_add(struct argv *a, const char *fmt, ...)
{
	va_list ap;

	assert_true(a->n < ARGS_MAX);
	va_start(ap, fmt);
	vsnprintf(a->text[a->n], sizeof(a->text[0]), fmt, ap);
	va_end(ap);
	a->v[a->n] = a->text[a->n];
	a->v[++a->n] = NULL;
}

static void kit_exec(char **argv, const char *log, pid_t parent)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	dup2(fd, 1);
	dup2(fd, 2);
	setenv("ETCD_UNSUPPORTED_ARCH", "", 1);
	execvp(argv[0], argv);
	_exit(127);
}

void etcd_member_start(struct etcd_cluster *c, int i)
{
	struct etcd_process *m = &c->m[i];
	const char *scheme = c->cert ? "https" : "http";
	struct argv *a = calloc(1, sizeof(*a));
	char peers[300] = "", log[128];
	pid_t parent = getpid();

	for (int k = 0; k < c->n; k++)
		snprintf(peers + strlen(peers), sizeof(peers) - strlen(peers), "%sm%d=http://127.0.0.1:%d",
			 k ? "," : "", k, c->m[k].peer_port);
	argv_add(a, "etcd");
	argv_add(a, "--name=m%d", i);
	argv_add(a, "--data-dir=%s", m->dir);
	argv_add(a, "--listen-client-urls=%s://127.0.0.1:%d", scheme, m->client_port);
	argv_add(a, "--advertise-client-urls=%s://127.0.0.1:%d", scheme, m->client_port);
	argv_add(a, "--listen-peer-urls=http://127.0.0.1:%d", m->peer_port);
	argv_add(a, "--initial-advertise-peer-urls=http://127.0.0.1:%d", m->peer_port);
	argv_add(a, "--initial-cluster=%s", peers);
	argv_add(a, "--heartbeat-interval=%d", c->n > 1 ? 50 : 10);
	argv_add(a, "--election-timeout=%d", c->n > 1 ? 500 : 100);
	argv_add(a, "--unsafe-no-fsync");
	if (c->cert) {
		argv_add(a, "--cert-file=%s", c->cert);
		argv_add(a, "--key-file=%s", c->key);
		argv_add(a, "--trusted-ca-file=%s", c->ca);
		argv_add(a, "--client-cert-auth");
	}
	for (size_t k = 0; k < ARRAY_LEN(c->more) && c->more[k]; k++)
		argv_add(a, "%s", c->more[k]);
	snprintf(log, sizeof(log), "%s.log", m->dir);
	m->pid = fork();
	assert_true(m->pid >= 0);
	if (m->pid == 0)
		kit_exec(a->v, log, parent);
	free(a);
}

void etcd_cluster_start(struct etcd_cluster *c, int n, const char *dir)
{
	c->n = n;
	c->endpoints[0] = '\0';
	for (int i = 0; i < n; i++) {
		struct etcd_process *m = &c->m[i];

		m->client_port = free_port();
		m->peer_port = free_port();
		snprintf(m->dir, sizeof(m->dir), "%s/etcd-%d", dir, i);
		snprintf(c->endpoints + strlen(c->endpoints), sizeof(c->endpoints) - strlen(c->endpoints),
			 "%s%s://127.0.0.1:%d", i ? "," : "", c->cert ? "https" : "http", m->client_port);
	}
	for (int i = 0; i < n; i++)
		etcd_member_start(c, i);
}

void etcd_member_signal(struct etcd_process *m, int signum)
{
	int status;

	assert_int_equal(kill(m->pid, signum), 0);
	if (signum == SIGSTOP) { /* its threads run on for a while */
		assert_int_equal(waitpid(m->pid, &status, WUNTRACED), m->pid);
		assert_true(WIFSTOPPED(status));
	}
}

void etcd_member_kill(struct etcd_process *m)
{
	if (m->pid <= 0)
		return;
	kill(m->pid, SIGKILL);
	(void)waitpid(m->pid, NULL, 0);
	m->pid = 0;
}

void etcd_cluster_stop(struct etcd_cluster *c)
{
	for (int i = 0; i < c->n; i++)
		etcd_member_kill(&c->m[i]);
}
