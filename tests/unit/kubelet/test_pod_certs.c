/* What a node does where a request for a pod's certificate cannot be made, goes, or is another's. */
#include "kit.h"

#include "client/client.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_cert.h"
#include "kubelet/pod_certs.h"
#include "object/obj.h"
#include "sim/env_sim.h"

/* An API that has every account and node, and takes requests or does not. */
struct api {
	struct client c;
	bool takes, answers; /* answers: a list has the last request, issued */
	const char *answered_uid;
	int creates;
	char stub[512]; /* of the last one */
};

struct rig {
	struct api api;
	struct kubelet k;
	struct kpod p;
	struct arena a;
};

static int api_get(_unused_ struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		   _unused_ struct sv name, struct obj **ret, _unused_ struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	*ret = obj_new(doc(&a, "{'metadata':{'uid':'u'}}"), 1);
	return 0;
}

static int api_create(struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		      _unused_ struct sv name, const struct val *v, _unused_ const struct client_write_opts *o,
		      struct obj **ret, struct err *err)
{
	struct api *api = CONTAINER_OF(c, struct api, c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv stub = val_get_str(v, F_spec, F_stubPKCS10Request);

	api->creates++;
	assert_true(stub.n < sizeof(api->stub));
	snprintf(api->stub, sizeof(api->stub), "%.*s", SV_ARG(stub));
	if (!api->takes)
		return err_set(err, ERR_FORBIDDEN, "exceeded quota");
	*ret = obj_new(doc(&a, "{'metadata':{'name':'req-1','namespace':'ns','uid':'u1'}}"), 5);
	return 0;
}

static int api_list(struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		    _unused_ const struct client_list_opts *o, struct obj_list *ret, _unused_ struct err *err)
{
	struct api *api = CONTAINER_OF(c, struct api, c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	*ret = (struct obj_list){ .rev = api->takes ? 6 : 1 };
	if (api->answers) {
		ret->items = xcalloc(1, sizeof(struct obj *));
		ret->items[ret->n++] =
		    obj_new(doc(&a, arena_printf(&a,
						 "{'metadata':{'name':'req-1','namespace':'ns','uid':'%s'},"
						 "'spec':{'podUID':'p'},'status':{'certificateChain':'',"
						 "'conditions':[{'type':'Issued','status':'True'}]}}",
						 api->answered_uid)),
			    6);
	}
	return 0;
}

/* A look at the list every time, as no watch lasts. */
static int api_watch(_unused_ struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		     _unused_ const struct client_list_opts *o, _unused_ const struct client_watch_cb *cb,
		     _unused_ void *ctx, _unused_ struct client_watch **ret, struct err *err)
{
	return err_set(err, ERR_EXPIRED, "list again");
}

static const struct client_ops api_ops = { .get = api_get, .create = api_create, .list = api_list, .watch = api_watch };

static void seconds(struct rig *r, int n)
{
	env_sim_run(r->k.env, n * NS_PER_SEC);
}

/* What a look says; NULL: there is a certificate. */
static const char *look(struct rig *r)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *pod = doc(&r->a, "{'spec':{'serviceAccountName':'sa'}}"),
		   *src = doc(&r->a, "{'signerName':'a.io/b','keyType':'ECDSAP256'}");
	struct sv key, chain;

	return pod_cert_get(r->k.certs, &r->p, &r->a, pod, SV("v"), 0, src, &key, &chain, &err) < 0
		   ? arena_strdup(&r->a, err_msg(&err))
		   : NULL;
}

static int rig_new(void **state)
{
	static char node[] = "node", uid[] = "p", ns[] = "ns", name[] = "pod";
	struct rig *r = xcalloc(1, sizeof(*r));

	r->k.env = env_sim_new(1, NS_PER_SEC, true);
	r->api.c = (struct client){ .ops = &api_ops, .env = r->k.env, .name = "test" };
	r->k.client = &r->api.c;
	r->k.node_name = node;
	r->k.certs = pod_certs_new(&r->k);
	r->p = (struct kpod){ .k = &r->k, .refs = 1, .uid = uid, .ns = ns, .name = name };
	*state = r;
	(void)look(r); /* begins to look at requests */
	seconds(r, 1);
	return 0;
}

static int rig_free(void **state)
{
	struct rig *r = *state;

	pod_certs_free(r->k.certs);
	seconds(r, 100);
	strmap_release_with(&r->p.certs, pod_cert_free);
	env_sim_free(r->k.env);
	arena_release(&r->a);
	free(r);
	return 0;
}

/* A pod is looked at often; what is refused is asked for with pauses that grow, with the one key, and says why. */
static void test_what_cannot_be_asked_for(void **state)
{
	struct rig *r = *state;
	char first[sizeof(r->api.stub)];

	for (int i = 0; i < 10; i++)
		assert_string_equal(look(r), "while creating initial PodCertificateRequest: exceeded quota");
	assert_int_equal(r->api.creates, 1);
	memcpy(first, r->api.stub, sizeof(first));
	for (int i = 0; i < 600; i++) {
		seconds(r, 1);
		assert_string_equal(look(r), "while creating initial PodCertificateRequest: exceeded quota");
	}
	assert_true(r->api.creates > 5 && r->api.creates < 12);
	assert_string_equal(r->api.stub, first);
	r->api.takes = true;
	seconds(r, 300);
	assert_string_equal(look(r), "credential bundle is not issued yet");
	assert_string_equal(r->api.stub, first);
}

/* One that somebody takes away is made anew; one of its name that somebody puts there is not ours. */
static void test_whose_request(void **state)
{
	struct rig *r = *state;
	char first[sizeof(r->api.stub)];

	r->api.takes = true;
	assert_string_equal(look(r), "credential bundle is not issued yet");
	memcpy(first, r->api.stub, sizeof(first));
	r->api.answers = true;
	r->api.answered_uid = "u2";
	seconds(r, 60);
	assert_string_equal(look(r), "credential bundle is not issued yet");
	assert_int_equal(r->api.creates, 2);
	assert_string_equal(r->api.stub, first);
	r->api.answered_uid = "u1";
	seconds(r, 60);
	assert_null(look(r));
	assert_int_equal(r->api.creates, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_cannot_be_asked_for, rig_new, rig_free),
		cmocka_unit_test_setup_teardown(test_whose_request, rig_new, rig_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
