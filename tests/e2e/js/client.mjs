// The official JavaScript client against an API server: what a program of a user's would do.
import assert from "node:assert/strict";
import * as k8s from "@kubernetes/client-node";
import { run, until } from "./tap.mjs";

const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const apps = kc.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(kc);
const namespace = "js";
const as = (strategy) => k8s.setHeaderOptions("Content-Type", strategy);

const container = { name: "web", image: "docker.io/caravel/demo:1", env: [{ name: "A", value: "1" }] };
const deployment = {
  metadata: { name: "web", labels: { app: "web" } },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [container] } },
  },
};

async function fails(promise, code, reason) {
  const e = await promise.then(() => assert.fail("it went through"), (e) => e);
  assert.ok(e instanceof k8s.ApiException, String(e));
  assert.equal(e.code, code);
  const status = typeof e.body === "string" ? JSON.parse(e.body) : e.body;
  assert.equal(status.kind, "Status");
  assert.equal(status.code, code);
  assert.equal(status.reason, reason);
  return status;
}

async function versionAndDiscovery() {
  const version = await kc.makeApiClient(k8s.VersionApi).getCode();
  assert.match(version.gitVersion, /^v1\.37\.0\+caravel-/);
  const groups = await kc.makeApiClient(k8s.ApisApi).getAPIVersions();
  assert.ok(groups.groups.some((g) => g.name === "apps"));
  const resources = await apps.getAPIResources();
  assert.ok(resources.resources.some((r) => r.name === "deployments" && r.namespaced));
}

async function listNamespaces() {
  const list = await core.listNamespace();
  const names = list.items.map((n) => n.metadata.name);
  for (const name of ["default", "kube-system", "kube-public"]) assert.ok(names.includes(name), name);
  assert.ok(list.metadata.resourceVersion);
  assert.ok(list.items[0].metadata.creationTimestamp instanceof Date);
}

async function createAndRead() {
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  await until("its default ServiceAccount", async () =>
    (await core.listNamespacedServiceAccount({ namespace })).items.some((s) => s.metadata.name === "default"));
  const made = await apps.createNamespacedDeployment({ namespace, body: deployment });
  assert.equal(made.spec.strategy.type, "RollingUpdate"); // defaulted
  const got = await apps.readNamespacedDeployment({ name: "web", namespace });
  assert.equal(got.metadata.uid, made.metadata.uid);
  assert.equal(got.spec.template.spec.containers[0].terminationMessagePath, "/dev/termination-log");
  const secret = { metadata: { name: "s" }, stringData: { password: "correct horse" } };
  const kept = await core.createNamespacedSecret({ namespace, body: secret });
  assert.equal(Buffer.from(kept.data.password, "base64").toString(), "correct horse");
}

async function pagesAndSelectors() {
  for (let i = 0; i < 7; i++)
    await core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name: `page-${i}`, labels: { odd: String(i % 2) } }, data: { i: String(i) } },
    });
  const seen = [];
  let _continue;
  do {
    const page = await core.listNamespacedConfigMap({ namespace, limit: 3, _continue, labelSelector: "odd" });
    assert.ok(page.items.length <= 3);
    seen.push(...page.items.map((c) => c.metadata.name));
    _continue = page.metadata._continue;
  } while (_continue);
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6].map((i) => `page-${i}`));
  const odd = await core.listNamespacedConfigMap({ namespace, labelSelector: "odd=1" });
  assert.equal(odd.items.length, 3);
  const one = await core.listNamespacedConfigMap({ namespace, fieldSelector: "metadata.name=page-4" });
  assert.deepEqual(one.items.map((c) => c.data.i), ["4"]);
}

async function replaceAndConflict() {
  const name = "page-0";
  const old = await core.readNamespacedConfigMap({ name, namespace });
  const fresh = await core.replaceNamespacedConfigMap({ name, namespace, body: { ...old, data: { i: "zero" } } });
  assert.notEqual(fresh.metadata.resourceVersion, old.metadata.resourceVersion);
  await fails(core.replaceNamespacedConfigMap({ name, namespace, body: { ...old, data: { i: "late" } } }), 409, "Conflict");
  assert.equal((await core.readNamespacedConfigMap({ name, namespace })).data.i, "zero");
}

async function patches() {
  const name = "web";
  const patch = (body, strategy) => apps.patchNamespacedDeployment({ name, namespace, body }, as(strategy));
  // strategic: containers and their variables are merged by name
  const more = { spec: { template: { spec: { containers: [{ name: "web", env: [{ name: "B", value: "2" }] }] } } } };
  let d = await patch(more, k8s.PatchStrategy.StrategicMergePatch);
  assert.deepEqual(d.spec.template.spec.containers[0].env.map((e) => e.name).sort(), ["A", "B"]);
  assert.equal(d.spec.template.spec.containers[0].image, container.image);
  // merge: lists are replaced, null removes
  d = await patch({ metadata: { labels: { app: null, tier: "front" } } }, k8s.PatchStrategy.MergePatch);
  assert.deepEqual({ ...d.metadata.labels }, { tier: "front" });
  // json: operations in order; a failed test changes nothing
  d = await patch([
    { op: "test", path: "/metadata/labels/tier", value: "front" },
    { op: "replace", path: "/spec/template/spec/containers/0/image", value: "docker.io/caravel/demo:2" },
    { op: "add", path: "/metadata/annotations/note", value: "by json" },
  ].filter((o) => o.path !== "/metadata/annotations/note" || d.metadata.annotations), k8s.PatchStrategy.JsonPatch);
  assert.equal(d.spec.template.spec.containers[0].image, "docker.io/caravel/demo:2");
  await fails(patch([{ op: "test", path: "/metadata/labels/tier", value: "back" }], k8s.PatchStrategy.JsonPatch), 422, "Invalid");
  // the scale subresource
  const scale = await apps.patchNamespacedDeploymentScale({ name, namespace, body: { spec: { replicas: 2 } } },
    as(k8s.PatchStrategy.MergePatch));
  assert.equal(scale.spec.replicas, 2);
  assert.equal((await apps.readNamespacedDeployment({ name, namespace })).spec.replicas, 2);
}

async function serverSideApply() {
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "applied", namespace }, data: { a: "1" } };
  const apply = (body, manager, force) =>
    objects.patch(body, undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply);
  const made = await apply(body, "one");
  assert.deepEqual(made.metadata.managedFields.map((f) => [f.manager, f.operation]), [["one", "Apply"]]);
  const status = await fails(apply({ ...body, data: { a: "2" } }, "two"), 409, "Conflict");
  assert.match(status.message, /conflict with "one"/);
  assert.equal((await apply({ ...body, data: { a: "2" } }, "two", true)).data.a, "2");
  await objects.delete(body);
}

async function manifestsOfAnyKind() {
  const [cm, service] = k8s.loadAllYaml(`
apiVersion: v1
kind: ConfigMap
metadata: {name: from-yaml, namespace: ${namespace}}
data: {text: "on: off"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: ${namespace}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`);
  await objects.create(cm);
  const made = await objects.create(service);
  assert.match(made.spec.clusterIP, /^\d+\.\d+\.\d+\.\d+$/);
  assert.equal((await objects.read(cm)).data.text, "on: off");
  assert.equal((await objects.list("v1", "Service", namespace)).items.length, 1);
  await objects.delete(service);
  await fails(objects.read(service), 404, "NotFound");
}

async function informer() {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: "watched" });
  const watcher = k8s.makeInformer(kc, path, list, "watched");
  const events = [];
  for (const verb of ["add", "update", "delete"])
    watcher.on(verb, (o) => events.push(`${verb} ${o.metadata.name} ${o.data.v}`));
  watcher.on("error", (e) => events.push(`error ${e}`));
  const make = (name) =>
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name, labels: { watched: "" } }, data: { v: "1" } } });
  await make("before");
  await watcher.start();
  await until("what was there", () => events.includes("add before 1"));
  await make("after");
  await core.patchNamespacedConfigMap({ name: "after", namespace, body: { data: { v: "2" } } }, as(k8s.PatchStrategy.MergePatch));
  // leaving the selector is a deletion to who watches with it
  await core.patchNamespacedConfigMap({ name: "before", namespace, body: { metadata: { labels: { watched: null } } } },
    as(k8s.PatchStrategy.MergePatch));
  await core.deleteNamespacedConfigMap({ name: "after", namespace });
  await until("four more events", () => events.length >= 5);
  const seen = [...events]; // stopping is an error event, too
  await watcher.stop();
  assert.deepEqual(seen, ["add before 1", "add after 1", "update after 2", "delete before 1", "delete after 2"]);
}

async function aWatchFromARevision() {
  const from = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "seen" }, data: { v: "1" } } });
  const seen = [];
  const request = await new k8s.Watch(kc).watch(`/api/v1/namespaces/${namespace}/configmaps`,
    { resourceVersion: from, allowWatchBookmarks: true }, (type, o) => seen.push([type, o.metadata.name]), () => {});
  await until("the event", () => seen.length);
  request.abort();
  assert.deepEqual(seen[0], ["ADDED", "seen"]);
}

async function errorClasses() {
  const get = (name) => core.readNamespacedConfigMap({ name, namespace });
  const create = (body) => core.createNamespacedConfigMap({ namespace, body });
  let status = await fails(get("nothing"), 404, "NotFound");
  assert.equal(status.message, 'configmaps "nothing" not found');
  await fails(create({ metadata: { name: "page-1" } }), 409, "AlreadyExists");
  status = await fails(create({ metadata: { name: "Bad_Name" } }), 422, "Invalid");
  assert.deepEqual(status.details.causes.map((c) => c.field), ["metadata.name"]);
  await fails(core.createNamespacedPod({ namespace, body: { metadata: { name: "none" }, spec: { containers: [] } } }), 422,
    "Invalid");
  await fails(core.createNamespacedConfigMap({ namespace: "nowhere", body: { metadata: { name: "a" } } }), 404, "NotFound");
  const anonymous = new k8s.KubeConfig();
  anonymous.loadFromClusterAndUser(kc.getCurrentCluster(), { name: "nobody", token: "wrong" });
  // this client keeps no body of a 401
  const refused = await anonymous.makeApiClient(k8s.CoreV1Api).listNamespace().then(() => null, (e) => e.code);
  assert.equal(refused, 401);
}

async function aServiceAccountSeesWhatItMay() {
  const { status } = await core.createNamespacedServiceAccountToken({
    name: "default", namespace, body: { spec: { audiences: [], expirationSeconds: 3600 } },
  });
  const limited = new k8s.KubeConfig();
  limited.loadFromClusterAndUser(kc.getCurrentCluster(), { name: "sa", token: status.token });
  const refused = await fails(limited.makeApiClient(k8s.CoreV1Api).listNamespacedSecret({ namespace }), 403, "Forbidden");
  assert.match(refused.message, /system:serviceaccount:js:default/);
  const auth = kc.makeApiClient(k8s.RbacAuthorizationV1Api);
  await auth.createNamespacedRoleBinding({
    namespace,
    body: {
      metadata: { name: "view" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
      subjects: [{ kind: "ServiceAccount", name: "default", namespace }],
    },
  });
  await until("the binding", () => limited.makeApiClient(k8s.CoreV1Api).listNamespacedConfigMap({ namespace }).then(() => true, () => false));
  await fails(limited.makeApiClient(k8s.CoreV1Api).listNamespacedSecret({ namespace }), 403, "Forbidden");
}

async function deletion() {
  const gone = await core.deleteNamespacedConfigMap({ name: "page-1", namespace });
  assert.equal(gone.status, "Success");
  await fails(core.readNamespacedConfigMap({ name: "page-1", namespace }), 404, "NotFound");
  await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: "odd" });
  assert.equal((await core.listNamespacedConfigMap({ namespace, labelSelector: "odd" })).items.length, 0);
  const { metadata } = await apps.readNamespacedDeployment({ name: "web", namespace });
  const wrong = { preconditions: { uid: "00000000-0000-0000-0000-000000000000" } };
  await fails(apps.deleteNamespacedDeployment({ name: "web", namespace, body: wrong }), 409, "Conflict");
  await apps.deleteNamespacedDeployment({ name: "web", namespace, body: { preconditions: { uid: metadata.uid } } });
  await core.deleteNamespace({ name: namespace });
  await until("the namespace to go", () =>
    core.readNamespace({ name: namespace }).then(() => false, (e) => e.code === 404));
}

await run([versionAndDiscovery, listNamespaces, createAndRead, pagesAndSelectors, replaceAndConflict, patches,
  serverSideApply, manifestsOfAnyKind, informer, aWatchFromARevision, errorClasses, aServiceAccountSeesWhatItMay, deletion]);
