#include "cli/control.h"
#include "base/file.h"
#include "base/log.h"

#include "apiserver/fence.h"
#include "client/leader.h"
#include "controllers/controllers.h"
#include "net/digest.h"
#include "scheduler/scheduler.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Shorter than upstream's 15 s and 10 s: another server leads ten seconds after the last renewal of one that was lost,
 * and one that only waited for its store still leads: etcd elects within some four seconds, and a member that hangs is
 * left within five (store/etcd/link.h). */
#define LEASE_NS (10 * NS_PER_SEC)
#define RENEW_DEADLINE_NS (8 * NS_PER_SEC)
#define PROC_MAX ((size_t)4096)
#define STAT_STARTED 21 /* words behind the name up to the beginning, the first being empty */

/* One of the two: who it is to the API, and what it takes to start and to end it. */
struct part {
	struct control *control;
	const char *name; /* of its Lease, too */
	const char *user;
	void (*start)(struct part *p), (*end)(struct part *p);
	struct client *client;	/* of the work; */
	struct client *elector; /* of the election: one that must write before it leads */
	struct fence fence;	/* of what is written as the leader */
	struct leader *leader;	/* under the lock */
};

struct control {
	struct control_opts o;
	pthread_mutex_t lock; /* guards these two, and the parts' leaders */
	struct controllers *controllers;
	struct scheduler *scheduler;
	struct part parts[2];
	size_t n;
};

/* --- what may be written --- */

static bool control_may_write(void *ctx)
{
	struct part *p = ctx;
	bool may;

	pthread_mutex_lock(&p->control->lock);
	may = p->leader && leader_holds(p->leader);
	pthread_mutex_unlock(&p->control->lock);
	return may;
}

static struct client *control_gated(struct part *p, struct client *c)
{
	if (p->control->o.elected) {
		fence_client(c, &p->fence);
		c->may_write = control_may_write;
		c->may_write_ctx = p;
	}
	return c;
}

static struct client *control_account(void *ctx, const char *account)
{
	struct part *p = ctx;

	return control_gated(p, apiserver_client_account(p->control->o.api, p->name, account));
}

/* --- the parts --- */

static void controllers_begin(struct part *p)
{
	static const char *const no_service_lb[] = { "service-lb-controller", NULL };
	struct control *c = p->control;
	const struct server_opts *o = c->o.o;
	struct apiserver *api = c->o.api;
	struct controllers *made = controllers_new(&(struct controllers_opts){
	    .env = c->o.env,
	    .client = p->client,
	    .client_as = control_account,
	    .client_ctx = p,
	    .kinds = apiserver_kinds(api),
	    .empty_foreign = apiserver_empty_foreign,
	    .kinds_foreign = apiserver_kinds_foreign,
	    .ask_foreign = apiserver_ask_foreign,
	    .forget_foreign = apiserver_forget_foreign,
	    .foreign_ctx = api,
	    .cluster_cidr = o->facts.cluster_cidr,
	    .cluster_dns = facts_disabled(&o->facts, "coredns") ? NULL : o->facts.cluster_dns,
	    .service_cidr = o->facts.service_cidr,
	    .node_mask_v4 = o->node_mask_v4,
	    .node_mask_v6 = o->node_mask_v6,
	    .server_node = o->disable_agent ? NULL : o->node.node_name,
	    .root_ca_pem = apiserver_ca_pem(api),
	    .signing_ca_pem = apiserver_ca_pem(api),
	    .signing_key_pem = apiserver_ca_key_pem(api),
	    .server_cert_pem = apiserver_cert_pem(api),
	    .token_key_pem = apiserver_token_key_pem(api),
	    .legacy_token_ns = o->legacy_token_ns,
	    .no_ingress = facts_no_ingress(&o->facts),
	    .which = o->controllers.list.p,
	    .no_force_detach = o->no_force_detach,
	    .ingress_ports = { o->node.ingress_http_port, o->node.ingress_https_port },
	    .no_gateway = facts_no_gateway(&o->facts),
	    .no_snapshots = facts_disabled(&o->facts, "volume-snapshots"),
	    .disable = facts_disabled(&o->facts, "servicelb") ? no_service_lb : NULL,
	});

	pthread_mutex_lock(&c->lock);
	c->controllers = made;
	pthread_mutex_unlock(&c->lock);
}

/* /metrics asks it no more, then it ends. */
static void controllers_finish(struct part *p)
{
	struct controllers *was;

	pthread_mutex_lock(&p->control->lock);
	was = TAKE(p->control->controllers);
	pthread_mutex_unlock(&p->control->lock);
	controllers_free(was);
}

static void scheduler_begin(struct part *p)
{
	struct scheduler *made = scheduler_new(&(struct scheduler_opts){
	    .env = p->control->o.env,
	    .client = p->client,
	    .name = "default-scheduler",
	});

	pthread_mutex_lock(&p->control->lock);
	p->control->scheduler = made;
	pthread_mutex_unlock(&p->control->lock);
}

static void scheduler_finish(struct part *p)
{
	struct scheduler *was;

	pthread_mutex_lock(&p->control->lock);
	was = TAKE(p->control->scheduler);
	pthread_mutex_unlock(&p->control->lock);
	scheduler_free(was);
}

/* --- elections --- */

static void control_won(void *ctx)
{
	struct part *p = ctx;

	log_info("server", "leads", "lease", "kube-system/%s", p->name);
	p->start(p);
}

static void control_lost(void *ctx)
{
	struct part *p = ctx;

	log_info("server", "leads no more", "lease", "kube-system/%s", p->name);
	p->end(p);
}

static int control_fence(void *ctx, const struct obj *lease)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct part *p = ctx;

	if (fence_take(p->control->o.api, &p->fence, lease, &err) == 0)
		return 0;
	log_warn("server", "has a Lease, but does not lead yet", "why", "%s: %s", p->name, err_msg(&err));
	return -1;
}

/* When a process began, in the kernel's ticks; with its number and the boot no other process has that. */
static struct sv control_began(struct arena *a, pid_t pid)
{
	struct sv text, word = SV("");
	const char *name_end;

	if (file_read(a, arena_printf(a, "/proc/%d/stat", (int)pid), PROC_MAX, &text, NULL) < 0)
		return SV("");
	name_end = memrchr(text.p, ')', text.n); /* it may hold anything */
	if (!name_end)
		return SV("");
	text = sv_sub(text, (size_t)(name_end - text.p) + 1, text.n);
	for (int i = 0; i < STAT_STARTED && sv_split(&text, ' ', &word); i++)
		;
	return word;
}

/* As upstream's: the host's name, and what no other server has. It is the supervisor's, who starts the next server when
 * the one before is dead: so that one goes on at once, and does not wait for its own Lease to run out. */
static void control_identity(const struct control_opts *o, char *ret, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	pid_t pid = o->o->no_supervise ? getpid() : getppid();
	char host[256] = "localhost", hex[SHA256_HEX];
	struct sv boot = SV("");

	(void)gethostname(host, sizeof(host) - 1);
	(void)file_read(&a, "/proc/sys/kernel/random/boot_id", PROC_MAX, &boot, NULL);
	sha256_hex(arena_svf(&a, "%.*s %d %.*s %s", SV_ARG(boot), (int)pid, SV_ARG(control_began(&a, pid)),
			     o->o->node.data_dir),
		   hex);
	(void)snprintf(ret, n, "%s_%.8s-%.4s-%.4s-%.4s-%.12s", host, hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static void control_elect(struct part *p)
{
	char identity[320];
	struct leader *l;

	control_identity(&p->control->o, identity, sizeof(identity));
	p->elector = apiserver_client(p->control->o.api, p->name, p->user, NULL);
	pthread_mutex_lock(&p->control->lock); /* it may have won before it is known here */
	l = leader_new(p->elector, &(struct leader_opts){ .ns = "kube-system",
							  .name = p->name,
							  .identity = identity,
							  .started = control_won,
							  .stopped = control_lost,
							  .fence = control_fence,
							  .ctx = p,
							  .lease_ns = LEASE_NS,
							  .renew_deadline_ns = RENEW_DEADLINE_NS });
	p->leader = l;
	pthread_mutex_unlock(&p->control->lock);
}

static void control_part(struct control *c, const char *name, const char *user, void (*start)(struct part *p),
			 void (*end)(struct part *p))
{
	struct part *p = &c->parts[c->n++];

	*p = (struct part){ .control = c, .name = name, .user = user, .start = start, .end = end };
	fence_init(&p->fence, "kube-system", name);
	p->client = control_gated(p, apiserver_client(c->o.api, name, user, NULL));
	if (c->o.elected)
		control_elect(p);
	else
		start(p);
}

/* --- life --- */

struct control *control_start(const struct control_opts *o)
{
	struct control *c = xcalloc(1, sizeof(*c));

	c->o = *o;
	pthread_mutex_init(&c->lock, NULL);
	if (!o->o->disable_controllers)
		control_part(c, "kube-controller-manager", "system:kube-controller-manager", controllers_begin,
			     controllers_finish);
	if (!o->o->disable_scheduler)
		control_part(c, "kube-scheduler", "system:kube-scheduler", scheduler_begin, scheduler_finish);
	return c;
}

/* The scheduler first: it would only find places for what controllers make no more. */
void control_stop(struct control *c)
{
	for (size_t i = c ? c->n : 0; i-- > 0;) {
		struct part *p = &c->parts[i];

		if (p->leader) {
			leader_free(p->leader);
			pthread_mutex_lock(&c->lock);
			p->leader = NULL;
			pthread_mutex_unlock(&c->lock);
		} else if (!c->o.elected) {
			p->end(p);
		}
	}
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	control_stop(c);
	for (size_t i = 0; i < c->n; i++) {
		client_free(c->parts[i].client);
		client_free(c->parts[i].elector);
	}
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

void control_metrics(struct control *c, struct buf *b)
{
	pthread_mutex_lock(&c->lock);
	if (c->scheduler)
		scheduler_metrics(c->scheduler, b);
	if (c->controllers)
		controllers_metrics(c->controllers, b);
	pthread_mutex_unlock(&c->lock);
}

void control_resource_metrics(struct control *c, struct buf *b)
{
	pthread_mutex_lock(&c->lock);
	if (c->scheduler)
		scheduler_resource_metrics(c->scheduler, b);
	pthread_mutex_unlock(&c->lock);
}
