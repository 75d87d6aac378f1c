#include "cli/snapshot_schedule.h"

#include "base/file.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/said.h"
#include "client/events.h"
#include "ev/ev.h"
#include "snapshot/shelf.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_NS (3600 * NS_PER_SEC) /* clocks are set */
#define OUTPUT_MAX 2000
#define ZONE_MAX ((size_t)1 << 20)

int snapshot_opts_check(const struct snapshot_opts *o, struct err *err)
{
	struct cron cron;

	if (cron_parse(sv_from(o->cron), &cron, err) < 0)
		return err_wrap(err, "--snapshot-schedule-cron");
	if (o->name && !shelf_name_good(o->name))
		return err_set(err, ERR_INVALID, "--snapshot-name takes the beginning of a file's name, not '%s'",
			       o->name);
	if (o->retention < 0)
		return err_set(err, ERR_INVALID, "--snapshot-retention takes a number, or 0 for all, not %d",
			       o->retention);
	return o->s3.on ? s3_opts_check(&o->s3.o, err) : 0;
}

/* The next time in the machine's zone, which may have been set since. */
static int64_t schedule_next(const struct snapshot_schedule *s, int64_t now)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct tz *tz = NULL;
	struct sv text;

	if (file_read(&a, "/etc/localtime", ZONE_MAX, &text, NULL) == 0)
		tz = tz_parse(&a, text, NULL);
	return cron_next(&s->cron, tz, now);
}

static void schedule_due(void *ctx);

/* Under the lock. */
static void schedule_arm(struct snapshot_schedule *s)
{
	int64_t left = s->due_ns - env_now_ns(s->env);

	env_timer_cancel(s->env, s->timer);
	s->timer = s->due_ns ? env_after(s->env, ENV_CONTROL, MIN(left, LOOK_NS), schedule_due, s) : NULL;
}

/* One at a time, by schedule_tell(). */
static void schedule_event(struct snapshot_schedule *s, const char *why)
{
	struct obj *o = NULL;

	if (!s->events) {
		s->events_client = s->client(s->ctx);
		s->events_client->class = ENV_SLOW;
		s->events = recorder_new(s->events_client, "caravel-snapshot", "");
	}
	if (client_get(s->events_client, RES(core_namespaces), SV(""), SV("kube-system"), &o, NULL) == 0)
		recorder_event(s->events, RES(core_namespaces), obj_root(o), "Warning", "SnapshotFailed",
			       "the snapshot of the cluster failed: %s", why);
	obj_unref(o);
}

/* Without the lock: a store that does not answer is a likely reason for the failure, and /metrics must not wait for
 * it. Who stops does, as the client is freed behind that; one that has not begun by then says nothing. */
static void schedule_tell(void *ctx)
{
	struct snapshot_schedule *s = ctx;

	pthread_mutex_lock(&s->lock);
	while (s->why && !s->stopped) {
		char *why = TAKE(s->why);

		s->telling = true;
		pthread_mutex_unlock(&s->lock);
		schedule_event(s, why);
		free(why);
		pthread_mutex_lock(&s->lock);
		s->telling = false;
		pthread_cond_broadcast(&s->told);
	}
	s->posted = false;
	pthread_mutex_unlock(&s->lock);
}

static void schedule_failed(struct snapshot_schedule *s, const char *why)
{
	log_kv(LVL_ERROR, "snapshot", "the snapshot of the cluster failed", "error", why, NULL);
	pthread_mutex_lock(&s->lock);
	s->failed++;
	if (!s->stopped) {
		free(s->why);
		s->why = xstrdup(why);
		if (!s->posted)
			env_post(s->env, ENV_SLOW, schedule_tell, s);
		s->posted = true;
	}
	pthread_mutex_unlock(&s->lock);
}

/* The last line that the process wrote, without its name. */
static struct sv schedule_said(int fd, char text[OUTPUT_MAX])
{
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, text, OUTPUT_MAX, MAX(size - OUTPUT_MAX, 0));
	struct sv line = said_last(sv_make(text, (size_t)MAX(n, 0)), OUTPUT_MAX);

	return sv_starts(line, SV("caravel: ")) ? sv_sub(line, 9, line.n) : line;
}

static void schedule_ended(int status, void *ctx)
{
	struct snapshot_schedule *s = ctx;
	char text[OUTPUT_MAX], why[OUTPUT_MAX + 64];
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct sv said;

	pthread_mutex_lock(&s->lock);
	said = schedule_said(s->output, text);
	close(s->output);
	s->output = -1;
	s->child = child_free(s->child);
	if (s->stopped)
		good = true;
	else if (good) {
		s->saved++;
		s->last_ns = env_now_ns(s->env);
		log_info("snapshot", "a snapshot of the cluster is taken", "said", "%.*s", SV_ARG(said));
	}
	pthread_mutex_unlock(&s->lock);
	if (good)
		return;
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "its process was ended by signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof(why), "%.*s", SV_ARG(said));
	schedule_failed(s, why);
}

/* Under the lock; -1: it did not start. */
static int schedule_run(struct snapshot_schedule *s, struct err *err)
{
	struct child_opts c = {
		.argv = s->argv, .envp = s->envp, .stdin_fd = -1, .die_with_parent = true, .class = ENV_CONTROL
	};

	if (s->child)
		return err_set(err, ERR_TIMEOUT, "the one before has not ended yet");
	s->output = memfd_create("snapshot", MFD_CLOEXEC);
	if (s->output < 0)
		return err_set_errno(err, errno, "no file in memory");
	c.stdout_fd = c.stderr_fd = s->output;
	s->child = child_start(s->env, &c, schedule_ended, s, err);
	if (s->child)
		return 0;
	close(s->output);
	s->output = -1;
	return -1;
}

static void schedule_due(void *ctx)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct snapshot_schedule *s = ctx;
	int64_t now = env_now_ns(s->env);
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->stopped) {
		if (now >= s->due_ns) {
			rc = schedule_run(s, &err);
			s->due_ns = schedule_next(s, now);
		}
		schedule_arm(s);
	}
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		schedule_failed(s, err_msg(&err));
}

void snapshot_schedule_start(struct snapshot_schedule *s, struct env *env, const struct snapshot_opts *o,
			     const char *const *argv, const char *const *envp, struct client *(*client)(void *ctx),
			     void *ctx)
{
	*s = (struct snapshot_schedule){
		.env = env, .o = *o, .argv = argv, .envp = envp, .client = client, .ctx = ctx, .output = -1
	};
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->told, NULL);
	(void)cron_parse(sv_from(o->cron), &s->cron, NULL); /* snapshot_opts_check() has */
	pthread_mutex_lock(&s->lock);
	s->due_ns = schedule_next(s, env_now_ns(env));
	schedule_arm(s);
	pthread_mutex_unlock(&s->lock);
}

void snapshot_schedule_stop(struct snapshot_schedule *s)
{
	if (!s->env)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	s->timer = env_timer_cancel(s->env, s->timer);
	if (s->child)
		(void)child_kill(s->child, SIGTERM);
	s->child = child_free(s->child);
	while (s->telling)
		pthread_cond_wait(&s->told, &s->lock);
	pthread_mutex_unlock(&s->lock);
	s->events = recorder_free(s->events);
	client_free(s->events_client);
	s->events_client = NULL;
}

void snapshot_schedule_release(struct snapshot_schedule *s)
{
	if (!s->env)
		return;
	if (s->output >= 0)
		close(s->output);
	free(TAKE(s->why));
	pthread_cond_destroy(&s->told);
	pthread_mutex_destroy(&s->lock);
	s->env = NULL;
}

static const struct metric_family snapshot_families[] = {
	{ .name = "caravel_snapshots_total",
	  .help = "Snapshots of the cluster that the schedule asked for, by how they ended.",
	  .type = METRIC_COUNTER,
	  .stability = METRIC_ALPHA,
	  .labels = { "result" } },
	{ .name = "caravel_snapshot_last_timestamp_seconds",
	  .help = "When the last of them was taken, 0 when none was since the start.",
	  .type = METRIC_GAUGE,
	  .stability = METRIC_ALPHA },
};

void snapshot_schedule_metrics(struct snapshot_schedule *s, struct buf *b)
{
	uint64_t saved, failed;
	int64_t last;

	if (!s->env)
		return;
	pthread_mutex_lock(&s->lock);
	saved = s->saved;
	failed = s->failed;
	last = s->last_ns;
	pthread_mutex_unlock(&s->lock);
	metric_head(b, &snapshot_families[0]);
	metric_sample(b, &snapshot_families[0], "result=\"failure\"", (double)failed);
	metric_sample(b, &snapshot_families[0], "result=\"success\"", (double)saved);
	metric_head(b, &snapshot_families[1]);
	metric_sample(b, &snapshot_families[1], "", (double)(last / NS_PER_SEC));
}
