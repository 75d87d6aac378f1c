/* json_bench - throughput of the JSON codec and of publishing, on one Pod. Prints a table; asserts
 * nothing. Run it on an otherwise idle machine. */
#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "object/obj.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char pod_json[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-5d4f8c7b9-x2x7q\",\"generateName\":\"web-"
    "5d4f8c7b9-\","
    "\"namespace\":\"default\",\"uid\":\"0e2a4c7e-5a0b-4a53-8c3c-0d5a0f0c9d11\",\"creationTimestamp\":\"2025-01-02T03:"
    "04:05Z\","
    "\"labels\":{\"app\":\"web\",\"pod-template-hash\":\"5d4f8c7b9\"},\"annotations\":{\"note\":\"a <b> \\\"quoted\\\" "
    "text\"},"
    "\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-5d4f8c7b9\","
    "\"uid\":\"b1946ac9-2c51-4d2c-8bd8-93b4d6c7e2f0\",\"controller\":true,\"blockOwnerDeletion\":true}]},"
    "\"spec\":{\"volumes\":[{\"name\":\"kube-api-access-7x2kq\",\"projected\":{\"sources\":[{\"serviceAccountToken\":"
    "{\"expirationSeconds\":3607,\"path\":\"token\"}},{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":"
    "[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}},{\"downwardAPI\":{\"items\":[{\"path\":\"namespace\",\"fieldRef\":"
    "{\"apiVersion\":\"v1\",\"fieldPath\":\"metadata.namespace\"}}]}}],\"defaultMode\":420}}],"
    "\"containers\":[{\"name\":\"web\",\"image\":\"registry.example/team/"
    "web:1.27.3\",\"ports\":[{\"containerPort\":8080,"
    "\"protocol\":\"TCP\"}],\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"256Mi\"},\"requests\":{\"cpu\":"
    "\"100m\","
    "\"memory\":\"128Mi\"}},\"volumeMounts\":[{\"name\":\"kube-api-access-7x2kq\",\"readOnly\":true,"
    "\"mountPath\":\"/var/run/secrets/kubernetes.io/serviceaccount\"}],\"terminationMessagePath\":\"/dev/"
    "termination-log\","
    "\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\","
    "\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\",\"serviceAccountName\":\"default\","
    "\"serviceAccount\":\"default\",\"nodeName\":\"node-1\",\"securityContext\":{},\"schedulerName\":\"default-"
    "scheduler\","
    "\"tolerations\":[{\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
    "\"tolerationSeconds\":300},{\"key\":\"node.kubernetes.io/"
    "unreachable\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
    "\"tolerationSeconds\":300}],\"priority\":0,\"enableServiceLinks\":true,\"preemptionPolicy\":"
    "\"PreemptLowerPriority\"},"
    "\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastProbeTime\":null,"
    "\"lastTransitionTime\":\"2025-01-02T03:04:07Z\"}],\"hostIP\":\"10.0.0.4\",\"podIP\":\"10.42.0.17\","
    "\"podIPs\":[{\"ip\":\"10.42.0.17\"}],\"startTime\":\"2025-01-02T03:04:05Z\",\"qosClass\":\"Burstable\"}}";

#define ROUNDS 20000

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const char *what, double start, size_t bytes)
{
	double s = now() - start;

	printf("%-24s %8.0f MB/s  %7.0f ns each\n", what, (double)bytes * ROUNDS / s / 1e6, s * 1e9 / ROUNDS);
}

int main(void)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT, keep = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv text = sv_from(pod_json), big;
	struct json_opts borrow = { .borrow_text = true };
	struct val *v = json_decode(&keep, text, NULL, NULL), *plain;
	char *chars = xmalloc(64 * 1024);
	double start;

	BUG_ON(!v);
	printf("one Pod of %zu bytes\n", text.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		arena_reset(&a);
		BUG_ON(!json_decode(&a, text, NULL, NULL));
	}
	report("decode", start, text.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		arena_reset(&a);
		BUG_ON(!json_decode(&a, text, &borrow, NULL));
	}
	report("decode, borrowing", start, text.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		buf_clear(&b);
		json_encode(&b, v);
	}
	report("encode", start, b.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++)
		obj_unref(obj_new(v, 12345));
	report("obj_new", start, text.n);

	memset(chars, 'x', 64 * 1024);
	big = sv_make(chars, 64 * 1024);
	plain = val_new_str_ref(&keep, big);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		buf_clear(&b);
		json_encode(&b, plain);
	}
	report("encode 64 KiB string", start, big.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		arena_reset(&a);
		BUG_ON(!json_decode(&a, buf_sv(&b), &borrow, NULL));
	}
	report("decode 64 KiB string", start, big.n);
	free(chars);
	return 0;
}
