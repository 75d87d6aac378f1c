/* The end of a server: gently, in the reverse order of its start, and in bounded time. */
#include "cli/server-internal.h"

#include "apiserver/encryption/encryption.h"
#include "base/log.h"
#include "cli/cidrs.h"
#include "cli/control.h"
#include "cli/stalls.h"

#include <pthread.h>
#include <unistd.h>

#define STOP_GRACE_NS (2 * NS_PER_SEC)
#define END_MAX_NS (5 * NS_PER_SEC)    /* for what has to end then: what does not by then is left */
#define DRAIN_MAX_NS (10 * NS_PER_SEC) /* for requests; whoever stops a service gives it 90 s in all */

/* While everything still works: load balancers are told and given time, then whoever has asked is answered. */
static void end_gently(struct server *s)
{
	int64_t until;

	if (!s->api || !s->http)
		return;
	if (s->o.shutdown_retry_after) {
		log_info("server", "new requests are told to come again", "after", "%ds", 5);
		apiserver_refuse(s->api);
	} else {
		http_server_close(s->http);
	}
	until = env_mono_ns(s->env) + MIN(s->o.request_timeout_ns, DRAIN_MAX_NS);
	while (apiserver_under_way(s->api) > 0 && env_mono_ns(s->env) < until && daemon_pause(10 * NS_PER_MS))
		;
	http_server_close(s->http);
}

/* Something does not let go: a file on a mount that hangs, a reader of the audit log that reads no more. All that was
 * answered is in the store, which is made for an end at any moment. */
static void end_at_once(void *ctx)
{
	(void)ctx;
	log_kv(LVL_ERROR, "server", "the end takes too long: left at once", NULL);
	_exit(1);
}

/* Takes down whatever was started, in the reverse order; safe on a half-started server. */
void server_end(struct server *s)
{
	struct control *control;
	struct env_timer *guard;
	int64_t grace = MAX(s->o.shutdown_watch_grace_ns, STOP_GRACE_NS);

	if (s->store) /* one that does not answer keeps nobody from ending */
		store_hurry(s->store);
	snapshot_schedule_stop(&s->snapshots);
	daemon_node_stop(&s->node);
	guard = s->env ? env_after(s->env, ENV_TIMERS, MIN(s->o.request_timeout_ns, DRAIN_MAX_NS) + grace + END_MAX_NS,
				   end_at_once, s)
		       : NULL;
	pthread_mutex_lock(&s->parts); /* /metrics asks it no more */
	control = TAKE(s->control);
	pthread_mutex_unlock(&s->parts);
	control_stop(control);
	end_gently(s);
	if (s->api)
		apiserver_shutdown(s->api);
	if (s->http)
		s->http = http_server_stop(s->http, grace);
	control_free(control);
	if (s->api)
		apiserver_rest(s->api);
	/* With them go the last answers of those whose clients did not wait: the server must still be there. */
	for (int i = 0; i < s->n_threads; i++)
		ev_loop_stop(s->loops[i]);
	for (int i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	for (int i = 0; i < NET_THREADS; i++)
		if (s->loops[i])
			ev_loop_free(s->loops[i]);
	s->api = apiserver_free(s->api);
	s->token = servers_token_free(s->token);
	s->agreed = encryption_agreed_free(s->agreed);
	server_store_rest(&s->opened);
	s->store = store_close(s->store);
	server_store_end(&s->opened);
	s->encryption = encryption_free(s->encryption);
	if (guard)
		env_timer_cancel(s->env, guard);
	s->env = env_real_free(s->env);
	snapshot_schedule_release(&s->snapshots);
	home_local_release(&s->home);
	stalls_unwatch();
	if (s->cidr_hold >= 0)
		close(s->cidr_hold);
}
