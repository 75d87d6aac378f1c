#include "kubelet/fake_runtime-internal.h"

#include <stdio.h>
#include <stdlib.h>

/* --- copies --- */

static const struct rt_label *copy_labels(struct arena *a, const struct rt_label *l, size_t n)
{
	struct rt_label *to = ARENA_ARRAY(a, struct rt_label, n + 1);

	for (size_t i = 0; i < n; i++)
		to[i] = (struct rt_label){ arena_sv(a, l[i].key), arena_sv(a, l[i].value) };
	return to;
}

static void copy_sandbox(struct arena *a, const struct rt_sandbox *from, struct rt_sandbox *to)
{
	struct sv *ips = ARENA_ARRAY(a, struct sv, from->n_ips + 1);

	*to = *from;
	to->id = arena_sv(a, from->id);
	to->name = arena_sv(a, from->name);
	to->ns = arena_sv(a, from->ns);
	to->uid = arena_sv(a, from->uid);
	for (size_t i = 0; i < from->n_ips; i++)
		ips[i] = arena_sv(a, from->ips[i]);
	to->ips = ips;
	to->labels = copy_labels(a, from->labels, from->n_labels);
}

static void copy_container(struct arena *a, const struct rt_container *from, struct rt_container *to)
{
	*to = *from;
	to->id = arena_sv(a, from->id);
	to->sandbox_id = arena_sv(a, from->sandbox_id);
	to->name = arena_sv(a, from->name);
	to->image = arena_sv(a, from->image);
	to->image_ref = arena_sv(a, from->image_ref);
	to->reason = arena_sv(a, from->reason);
	to->message = arena_sv(a, from->message);
	to->log_path = arena_sv(a, from->log_path);
	to->labels = copy_labels(a, from->labels, from->n_labels);
	to->annotations = copy_labels(a, from->annotations, from->n_annotations);
}

/* --- sandboxes --- */

static int fake_version(struct runtime *r, struct arena *a, struct rt_version *ret, struct err *err)
{
	struct fake *f = fake_of(r);

	(void)a;
	if (fake_enter(f, "version", err) < 0)
		return -1;
	*ret = (struct rt_version){ SV("fake"), SV("1.0.0"), SV("v1") };
	fake_leave(f);
	return 0;
}

static int fake_status(struct runtime *r, struct arena *a, struct rt_status *ret, struct err *err)
{
	struct fake *f = fake_of(r);

	(void)a;
	if (fake_enter(f, "status", err) < 0)
		return -1;
	*ret = (struct rt_status){ .runtime = true, .network = !f->no_network, .why = SV(""), .features = f->features };
	if (f->no_network)
		ret->why = SV("NetworkReady=false reason:NetworkPluginNotReady message:the network is off");
	fake_leave(f);
	return 0;
}

/* Without a list it knows its default alone. */
static bool knows_handler(const struct fake *f, struct sv name)
{
	for (size_t i = 0; i < f->features.n_handlers; i++)
		if (sv_eq(f->features.handlers[i].name, name))
			return true;
	return !name.n;
}

static int fake_run_sandbox(struct runtime *r, struct arena *a, const struct rt_sandbox_config *c, struct sv *ret_id,
			    struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_sandbox *s;
	struct sv *ips;
	void **slot;

	if (fake_enter(f, "run_sandbox", err) < 0)
		return -1;
	if (!knows_handler(f, c->handler)) {
		fake_leave(f);
		return err_set(err, ERR_INTERNAL,
			       "failed to get sandbox runtime: no runtime for \"%.*s\" is configured",
			       SV_ARG(c->handler));
	}
	if (f->made_sandbox)
		f->made_sandbox(c, f->made_sandbox_ctx);
	s = xcalloc(1, sizeof(*s));
	s->s.id = arena_svf(&s->a, "sandbox-%" PRIu64, ++f->next_id);
	s->s.name = arena_sv(&s->a, c->name);
	s->s.ns = arena_sv(&s->a, c->ns);
	s->s.uid = arena_sv(&s->a, c->uid);
	s->s.attempt = c->attempt;
	s->s.ready = true;
	s->s.created_ns = env_now_ns(f->env);
	s->s.labels = copy_labels(&s->a, c->labels, c->n_labels);
	s->s.n_labels = c->n_labels;
	if (!c->host_network) {
		ips = ARENA_ARRAY(&s->a, struct sv, 1);
		f->next_ip = f->next_ip % 65533 + 1;
		ips[0] = arena_svf(&s->a, "10.88.%u.%u", f->next_ip >> 8, f->next_ip & 255);
		s->s.ips = ips;
		s->s.n_ips = 1;
	}
	slot = strmap_slot(&f->pods, s->s.uid);
	s->next = *slot;
	*slot = s;
	strmap_set(&f->sandboxes, s->s.id, s);
	*ret_id = arena_sv(a, s->s.id);
	fake_leave(f);
	return 0;
}

static void free_container(struct fake *f, struct fake_container *c) /* locked */
{
	struct fake_container **at = &c->sandbox->containers;

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	strmap_del(&f->containers, c->c.id);
	arena_release(&c->a);
	free(c);
}

static void free_sandbox(struct fake *f, struct fake_sandbox *s) /* locked */
{
	struct fake_sandbox *head = strmap_get(&f->pods, s->s.uid);

	while (s->containers)
		free_container(f, s->containers);
	if (head == s) {
		if (s->next)
			strmap_set(&f->pods, s->s.uid, s->next);
		else
			strmap_del(&f->pods, s->s.uid);
	} else {
		while (head && head->next != s)
			head = head->next;
		if (head)
			head->next = s->next;
	}
	strmap_del(&f->sandboxes, s->s.id);
	arena_release(&s->a);
	free(s);
}

static int fake_stop_sandbox(struct runtime *r, struct sv id, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_sandbox *s;

	if (fake_enter(f, "stop_sandbox", err) < 0)
		return -1;
	s = strmap_get(&f->sandboxes, id);
	if (s) {
		for (struct fake_container *c = s->containers; c; c = c->next)
			fake_end_container(f, c, 137, "Error");
		s->s.ready = false;
	}
	fake_leave(f);
	return 0;
}

static int fake_remove_sandbox(struct runtime *r, struct sv id, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_sandbox *s;

	if (fake_enter(f, "remove_sandbox", err) < 0)
		return -1;
	s = strmap_get(&f->sandboxes, id);
	if (s)
		free_sandbox(f, s);
	fake_leave(f);
	return 0;
}

static int fake_sandbox_status(struct runtime *r, struct arena *a, struct sv id, struct rt_sandbox *ret,
			       struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_sandbox *s;

	if (fake_enter(f, "sandbox_status", err) < 0)
		return -1;
	s = strmap_get(&f->sandboxes, id);
	if (!s)
		return fake_leave_missing(f, "sandbox", id, err);
	copy_sandbox(a, &s->s, ret);
	fake_leave(f);
	return 0;
}

static int fake_list_sandboxes(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_sandbox **ret,
			       size_t *ret_n, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_sandbox *first;
	size_t cap = 1;

	if (fake_enter(f, "list_sandboxes", err) < 0)
		return -1;
	*ret_n = 0;
	if (pod_uid.n) {
		first = strmap_get(&f->pods, pod_uid);
		for (struct fake_sandbox *s = first; s; s = s->next)
			cap++;
		*ret = ARENA_ARRAY(a, struct rt_sandbox, cap);
		for (struct fake_sandbox *s = first; s; s = s->next)
			copy_sandbox(a, &s->s, &(*ret)[(*ret_n)++]);
	} else {
		*ret = ARENA_ARRAY(a, struct rt_sandbox, f->sandboxes.n + 1);
		STRMAP_EACH(&f->sandboxes, e)
			copy_sandbox(a, &((struct fake_sandbox *)e->value)->s, &(*ret)[(*ret_n)++]);
	}
	for (size_t i = 0; i < *ret_n; i++) /* as the real one: only sandbox_status tells addresses */
		(*ret)[i].n_ips = 0;
	fake_leave(f);
	return 0;
}

/* --- containers --- */

static int fake_create_container(struct runtime *r, struct arena *a, struct sv sandbox_id,
				 const struct rt_container_config *c, const struct rt_sandbox_config *sc,
				 struct sv *ret_id, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_container *n;
	struct fake_sandbox *s;

	if (f->made)
		f->made(c, sc, f->made_ctx);
	if (fake_enter(f, "create_container", err) < 0)
		return -1;
	s = strmap_get(&f->sandboxes, sandbox_id);
	if (!s)
		return fake_leave_missing(f, "sandbox", sandbox_id, err);
	if (!strmap_has(&f->image_ids, c->image_ref) && !strmap_has(&f->images, c->image))
		return fake_leave_missing(f, "image", c->image, err);
	for (struct fake_container *o = s->containers; o; o = o->next) {
		if (sv_eq(o->c.name, c->name) && o->c.attempt == c->attempt) {
			fake_leave(f);
			return err_set(err, ERR_ALREADY_EXISTS, "container name \"%.*s_%u\" is reserved",
				       SV_ARG(c->name), c->attempt);
		}
	}
	n = xcalloc(1, sizeof(*n));
	n->sandbox = s;
	n->c = (struct rt_container){
		.id = arena_svf(&n->a, "container-%" PRIu64, ++f->next_id),
		.sandbox_id = s->s.id,
		.name = arena_sv(&n->a, c->name),
		.image = arena_sv(&n->a, c->image),
		.image_ref = arena_svf(&n->a, "sha256:%016" PRIx64, sv_hash(c->image)),
		.attempt = c->attempt,
		.state = RT_CREATED,
		.created_ns = env_now_ns(f->env),
		.log_path = arena_sv(&n->a, c->log_path),
		.labels = copy_labels(&n->a, c->labels, c->n_labels),
		.n_labels = c->n_labels,
		.annotations = copy_labels(&n->a, c->annotations, c->n_annotations),
		.n_annotations = c->n_annotations,
	};
	n->next = s->containers;
	s->containers = n;
	strmap_set(&f->containers, n->c.id, n);
	*ret_id = arena_sv(a, n->c.id);
	fake_leave(f);
	return 0;
}

static void run_container(struct fake *f, struct fake_container *c) /* locked */
{
	c->c.state = RT_RUNNING;
	c->c.started_ns = env_now_ns(f->env);
}

static int fake_start_container(struct runtime *r, struct sv id, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_container *c;

	if (fake_enter(f, "start_container", err) < 0)
		return -1;
	c = strmap_get(&f->containers, id);
	if (!c)
		return fake_leave_missing(f, "container", id, err);
	if (f->cut_starts) {
		f->cut_starts--;
		if (f->cut_leaves == RT_UNKNOWN)
			fake_lose_record(c);
		else if (f->cut_leaves == RT_EXITED)
			fake_end_container(f, c, 128, "StartError");
		else if (f->cut_leaves == RT_RUNNING)
			run_container(f, c);
		fake_leave(f);
		return err_set(err, ERR_UNAVAILABLE, "the connection broke while calling 'StartContainer'");
	}
	if (c->c.state != RT_CREATED) {
		fake_leave(f);
		return err_set(err, ERR_INTERNAL, "container \"%.*s\" was started before", SV_ARG(id));
	}
	run_container(f, c);
	fake_leave(f);
	return 0;
}

static int fake_stop_container(struct runtime *r, struct sv id, int64_t timeout_s, int64_t wait_ns, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_container *c;
	int rc = 0;

	(void)wait_ns;
	if (fake_enter(f, "stop_container", err) < 0)
		return -1;
	c = strmap_get(&f->containers, id);
	if (c && c->c.state == RT_RUNNING && timeout_s > 0 && f->ignore_term)
		rc = err_set(err, ERR_TIMEOUT, "container \"%.*s\" still runs", SV_ARG(id));
	else if (c)
		fake_end_container(f, c, timeout_s > 0 ? 0 : 137, timeout_s > 0 ? "Completed" : "Error");
	fake_leave(f);
	return rc;
}

static int fake_remove_container(struct runtime *r, struct sv id, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_container *c;

	if (fake_enter(f, "remove_container", err) < 0)
		return -1;
	c = strmap_get(&f->containers, id);
	if (c) {
		fake_end_container(f, c, 137, "Error");
		free_container(f, c);
	}
	fake_leave(f);
	return 0;
}

static int fake_container_status(struct runtime *r, struct arena *a, struct sv id, struct rt_container *ret,
				 struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_container *c;

	if (fake_enter(f, "container_status", err) < 0)
		return -1;
	c = strmap_get(&f->containers, id);
	if (!c)
		return fake_leave_missing(f, "container", id, err);
	copy_container(a, &c->c, ret);
	fake_leave(f);
	return 0;
}

static int fake_list_containers(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_container **ret,
				size_t *ret_n, struct err *err)
{
	struct fake *f = fake_of(r);
	size_t cap = 1;

	if (fake_enter(f, "list_containers", err) < 0)
		return -1;
	*ret_n = 0;
	if (pod_uid.n) {
		for (int pass = 0; pass < 2; pass++) {
			if (pass)
				*ret = ARENA_ARRAY(a, struct rt_container, cap);
			for (struct fake_sandbox *s = strmap_get(&f->pods, pod_uid); s; s = s->next)
				for (struct fake_container *c = s->containers; c; c = c->next) {
					if (pass)
						copy_container(a, &c->c, &(*ret)[(*ret_n)++]);
					else
						cap++;
				}
		}
	} else {
		*ret = ARENA_ARRAY(a, struct rt_container, f->containers.n + 1);
		STRMAP_EACH(&f->containers, e)
			copy_container(a, &((struct fake_container *)e->value)->c, &(*ret)[(*ret_n)++]);
	}
	fake_leave(f);
	return 0;
}

static int fake_exec_sync(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc,
			  int64_t timeout_s, size_t max, int stop_fd, struct sv *ret_out, struct sv *ret_err,
			  int *ret_code, struct err *err)
{
	struct fake *f = fake_of(r);
	struct fake_container *c;

	(void)argv, (void)argc, (void)timeout_s, (void)stop_fd;
	if (fake_enter(f, "exec_sync", err) < 0)
		return -1;
	c = strmap_get(&f->containers, id);
	if (!c || c->c.state != RT_RUNNING)
		return fake_leave_missing(f, "running container", id, err);
	*ret_out = sv_sub(arena_sv(a, sv_from(f->exec_out ? f->exec_out : "")), 0, max);
	*ret_err = SV("");
	*ret_code = f->exec_code;
	fake_leave(f);
	return 0;
}

static int no_stream(struct err *err)
{
	return err_set(err, ERR_METHOD_NOT_ALLOWED, "the fake runtime has no streams");
}

static int fake_exec_url(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc, bool tty,
			 bool in, bool out, bool errs, struct sv *ret_url, struct err *err)
{
	(void)r, (void)a, (void)id, (void)argv, (void)argc, (void)tty, (void)in, (void)out, (void)errs, (void)ret_url;
	return no_stream(err);
}

static int fake_attach_url(struct runtime *r, struct arena *a, struct sv id, bool tty, bool in, bool out, bool errs,
			   struct sv *ret_url, struct err *err)
{
	(void)r, (void)a, (void)id, (void)tty, (void)in, (void)out, (void)errs, (void)ret_url;
	return no_stream(err);
}

static int fake_port_forward_url(struct runtime *r, struct arena *a, struct sv sandbox_id, const int *ports, size_t n,
				 struct sv *ret_url, struct err *err)
{
	(void)r, (void)a, (void)sandbox_id, (void)ports, (void)n, (void)ret_url;
	return no_stream(err);
}

static int fake_reopen_log(struct runtime *r, struct sv id, struct err *err)
{
	(void)r, (void)id, (void)err;
	return 0;
}

static int fake_update_resources(struct runtime *r, struct sv id, const struct rt_container_config *c, struct err *err)
{
	struct fake *f = fake_of(r);

	(void)c;
	if (fake_enter(f, "update_resources", err) < 0)
		return -1;
	if (!strmap_has(&f->containers, id))
		return fake_leave_missing(f, "container", id, err);
	fake_leave(f);
	return 0;
}

static int fake_stats(struct runtime *r, struct arena *a, struct rt_stats **ret, size_t *ret_n, struct err *err)
{
	struct fake *f = fake_of(r);

	if (fake_enter(f, "stats", err) < 0)
		return -1;
	*ret_n = 0;
	*ret = ARENA_ARRAY(a, struct rt_stats, f->containers.n + 1);
	STRMAP_EACH(&f->containers, e) {
		const struct fake_container *c = e->value;

		if (c->c.state != RT_RUNNING)
			continue;
		(*ret)[(*ret_n)++] = (struct rt_stats){ .container_id = arena_sv(a, c->c.id),
							.name = arena_sv(a, c->c.name),
							.pod_name = arena_sv(a, c->sandbox->s.name),
							.pod_ns = arena_sv(a, c->sandbox->s.ns),
							.pod_uid = arena_sv(a, c->sandbox->s.uid),
							.memory_working_set_bytes = 1 << 20,
							.timestamp_ns = env_now_ns(f->env) };
	}
	fake_leave(f);
	return 0;
}

static int fake_fs_usage(struct runtime *r, struct arena *a, uint64_t *ret_bytes, struct sv *ret_mountpoint,
			 struct err *err)
{
	(void)r, (void)a, (void)err;
	*ret_bytes = 0;
	*ret_mountpoint = SV("/");
	return 0;
}

static int fake_subscribe(struct runtime *r, void (*notice)(const struct rt_event *ev, void *ctx), void *ctx,
			  struct err *err)
{
	struct fake *f = fake_of(r);

	(void)err;
	pthread_mutex_lock(&f->lock);
	f->notice = notice;
	f->notice_ctx = ctx;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static void fake_unsubscribe(struct runtime *r)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	f->notice = NULL;
	pthread_mutex_unlock(&f->lock);
}

static void fake_free(struct runtime *r)
{
	struct fake *f = fake_of(r);

	while (f->sandboxes.n)
		free_sandbox(f, strmap_next(&f->sandboxes, NULL)->value);
	strmap_release(&f->pods);
	strmap_release(&f->sandboxes);
	strmap_release(&f->containers);
	strmap_release(&f->images);
	strmap_release(&f->image_ids);
	strmap_release_with(&f->passwords, free);
	strmap_release(&f->failures);
	strmap_release(&f->calls);
	pthread_mutex_destroy(&f->lock);
	free(f->exec_out);
	free(f);
}

static const struct runtime_ops fake_ops = {
	.name = "fake",
	.version = fake_version,
	.status = fake_status,
	.run_sandbox = fake_run_sandbox,
	.stop_sandbox = fake_stop_sandbox,
	.remove_sandbox = fake_remove_sandbox,
	.sandbox_status = fake_sandbox_status,
	.list_sandboxes = fake_list_sandboxes,
	.create_container = fake_create_container,
	.start_container = fake_start_container,
	.stop_container = fake_stop_container,
	.remove_container = fake_remove_container,
	.container_status = fake_container_status,
	.list_containers = fake_list_containers,
	.exec_sync = fake_exec_sync,
	.exec_url = fake_exec_url,
	.attach_url = fake_attach_url,
	.port_forward_url = fake_port_forward_url,
	.reopen_log = fake_reopen_log,
	.update_resources = fake_update_resources,
	.image_status = fake_image_status,
	.pull_image = fake_pull_image,
	.list_images = fake_list_images,
	.remove_image = fake_remove_image,
	.stats = fake_stats,
	.fs_usage = fake_fs_usage,
	.subscribe = fake_subscribe,
	.unsubscribe = fake_unsubscribe,
	.free = fake_free,
};

struct runtime *runtime_fake_new(struct env *env)
{
	struct fake *f = xcalloc(1, sizeof(*f));

	f->rt.ops = &fake_ops;
	f->env = env;
	pthread_mutex_init(&f->lock, NULL);
	return &f->rt;
}
