/* Learning at once that a container ended.
 *
 * CRI's own GetContainerEvents came after containerd 1.6, so containerd's native event service on the same
 * socket is asked first: Subscribe with filters returns envelopes {2 namespace, 3 topic, 4 Any event}; the
 * events we filter for all carry the container id as field 1 (TaskExit also the exec id as field 2: an exec's
 * end is no news). Other runtimes are asked for GetContainerEvents. When neither is known the stream ends with
 * "unimplemented" and is not opened again: the kubelet's relist does the work then.
 *
 * A stream that breaks (the runtime restarts) is opened again, with one notice "look at all" after each
 * opening since events may have been missed. The thread waits on a socket: it costs nothing while nothing
 * happens. */
#include "kubelet/cri/cri.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct cri_events {
	struct env *env;
	struct grpc_channel *ch; /* its own: outlives the runtime by a moment */
	void (*notice)(const struct rt_event *ev, void *ctx);
	void *ctx;
	bool native;		   /* containerd's service, until it is said to be unknown */
	pthread_mutex_t lock;	   /* held around notices: after the owner took it to set stop, none follows */
	struct env_timer *restart; /* under lock */
	_Atomic bool stop;
	int stop_fd;	  /* readable from then on: wakes the thread */
	_Atomic int refs; /* the owner, and the thread or its restart timer */
};

static void events_unref(struct cri_events *e)
{
	if (atomic_fetch_sub(&e->refs, 1) != 1)
		return;
	e->ch = grpc_channel_free(e->ch);
	close(e->stop_fd);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

static int tell(struct cri_events *e, struct sv pod_uid, struct sv container_id)
{
	pthread_mutex_lock(&e->lock);
	if (!e->stop)
		e->notice(&(struct rt_event){ .pod_uid = pod_uid, .container_id = container_id }, e->ctx);
	pthread_mutex_unlock(&e->lock);
	return e->stop;
}

static int containerd_message(struct sv m, void *ctx)
{
	struct sv topic = pb_get_sv(m, 3), event = pb_get_sv(pb_get_sv(m, 4), 2);
	struct sv id = pb_get_sv(event, 1), exec_id = pb_get_sv(event, 2);

	if (sv_is(topic, "/tasks/exit") && exec_id.n && !sv_eq(id, exec_id))
		return 0;
	return tell(ctx, SV(""), id);
}

static int cri_message(struct sv m, void *ctx)
{
	struct sv meta = pb_get_sv(pb_get_sv(m, 4), 2); /* of the sandbox's status */

	return tell(ctx, pb_get_sv(meta, 2), pb_get_sv(m, 1));
}

static void events_start(void *ctx);

static void events_thread(void *ctx)
{
	struct cri_events *e = ctx;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool stopped;
	int rc;

	tell(e, SV(""), SV(""));
	if (e->native) {
		pb_sv(&b, 1, SV("namespace==\"k8s.io\",topic==\"/tasks/exit\""));
		pb_sv(&b, 1, SV("namespace==\"k8s.io\",topic==\"/tasks/oom\""));
		rc = grpc_call_stream(e->ch, "/containerd.services.events.v1.Events/Subscribe", buf_sv(&b),
				      containerd_message, e, e->stop_fd, &err);
	} else {
		rc = grpc_call_stream(e->ch, "/runtime.v1.RuntimeService/GetContainerEvents", buf_sv(&b), cri_message,
				      e, e->stop_fd, &err);
	}
	if (rc < 0 && err.reason == ERR_METHOD_NOT_ALLOWED) {
		if (!e->native) {
			events_unref(e);
			return;
		}
		e->native = false;
	}
	/* The thread's reference passes to the timer. */
	pthread_mutex_lock(&e->lock);
	stopped = e->stop;
	if (!stopped)
		e->restart = env_after(e->env, ENV_NODE, NS_PER_SEC, events_start, e);
	pthread_mutex_unlock(&e->lock);
	if (stopped)
		events_unref(e);
}

static void events_start(void *ctx)
{
	struct cri_events *e = ctx;

	pthread_mutex_lock(&e->lock);
	e->restart = env_timer_cancel(e->env, e->restart);
	pthread_mutex_unlock(&e->lock);
	if (e->stop || env_thread(e->env, "cri-events", events_thread, e) < 0)
		events_unref(e);
}

int cri_subscribe(struct runtime *r, void (*notice)(const struct rt_event *ev, void *ctx), void *ctx, struct err *err)
{
	struct cri *c = cri_of(r);
	struct cri_events *e;

	int stop_fd;

	BUG_ON(c->events);
	stop_fd = eventfd(0, EFD_CLOEXEC);
	if (stop_fd < 0)
		return err_set_errno(err, errno, "cannot read runtime events");
	e = xcalloc(1, sizeof(*e));
	e->env = c->env;
	e->ch = grpc_channel_new(c->target);
	e->notice = notice;
	e->ctx = ctx;
	e->native = true;
	e->stop_fd = stop_fd;
	pthread_mutex_init(&e->lock, NULL);
	e->refs = 2;
	if (env_thread(c->env, "cri-events", events_thread, e) < 0) {
		e->refs = 1;
		events_unref(e);
		return err_set(err, ERR_METHOD_NOT_ALLOWED, "no thread to read runtime events with");
	}
	c->events = e;
	return 0;
}

void cri_unsubscribe(struct runtime *r)
{
	struct cri *c = cri_of(r);
	struct cri_events *e = c->events;
	bool owed = false;

	if (!e)
		return;
	c->events = NULL;
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	(void)eventfd_write(e->stop_fd, 1);
	if (e->restart) {
		owed = env_timer_stop(e->env, e->restart); /* it will not run: its reference is ours to drop */
		e->restart = NULL;
	}
	pthread_mutex_unlock(&e->lock);
	if (owed)
		events_unref(e);
	events_unref(e);
}
