// What a user sees of the operator in operator.mjs.
import assert from "node:assert/strict";
import fs from "node:fs";
import * as k8s from "@kubernetes/client-node";
import { Operator, definition, finalizer, group, plural, serve } from "./operator.mjs";
import { run, until } from "./tap.mjs";

const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const apps = kc.makeApiClient(k8s.AppsV1Api);
const fleets = kc.makeApiClient(k8s.CustomObjectsApi);
const namespace = "harbour";
const v1 = { group, version: "v1", namespace, plural };
const old = { ...v1, version: "v1alpha1" };
const as = (strategy) => k8s.setHeaderOptions("Content-Type", strategy);
const merge = as(k8s.PatchStrategy.MergePatch);
const tls = { cert: fs.readFileSync(process.env.HOOK_PEM), key: fs.readFileSync(process.env.HOOK_PEM + ".key") };
const hooks = await serve(tls);
const webhook = (path) => ({ url: `https://127.0.0.1:${hooks.port}${path}`, caBundle: tls.cert.toString("base64") });
const operators = [];
let limited;

const fleet = (name, spec, version = "v1") => ({ apiVersion: `${group}/${version}`, kind: "Fleet", metadata: { name }, spec });
const get = (name, from = v1) => fleets.getNamespacedCustomObject({ ...from, name });
const deployment = (name) => apps.readNamespacedDeployment({ name, namespace }).catch((e) => assert.equal(e.code, 404));
const gone = (promise) => promise.then(() => false, (e) => e.code === 404);
const fails = async (promise, code) => {
  const e = await promise.then(() => assert.fail("it went through"), (e) => e);
  assert.equal(e.code, code, String(e));
  return (typeof e.body === "string" ? JSON.parse(e.body) : e.body)?.message;
};

async function itIsInstalled() {
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  await kc.makeApiClient(k8s.ApiextensionsV1Api).createCustomResourceDefinition({ body: definition(webhook) });
  await until("the kind", () => fleets.listNamespacedCustomObject(v1).then(() => true, () => false));
  const admission = kc.makeApiClient(k8s.AdmissionregistrationV1Api);
  const rules = [{ apiGroups: [group], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: [plural] }];
  const hook = (name) => ({ metadata: { name }, webhooks: [{ name: `${name}.${group}`, clientConfig: webhook("/" + name), rules,
    sideEffects: "None", admissionReviewVersions: ["v1"], matchPolicy: "Equivalent" }] });
  await admission.createMutatingWebhookConfiguration({ body: hook("mutate") });
  await admission.createValidatingWebhookConfiguration({ body: hook("validate") });
}

async function itRunsAsAServiceAccount() {
  const rbac = kc.makeApiClient(k8s.RbacAuthorizationV1Api);
  await core.createNamespacedServiceAccount({ namespace, body: { metadata: { name: "operator" } } });
  const all = ["get", "list", "watch", "create", "update", "patch"];
  await rbac.createClusterRole({ body: { metadata: { name: "fleet-operator" }, rules: [
    { apiGroups: [group], resources: [plural, `${plural}/status`, `${plural}/finalizers`], verbs: all },
    { apiGroups: ["apps"], resources: ["deployments"], verbs: all },
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: all },
    { apiGroups: ["events.k8s.io", ""], resources: ["events"], verbs: ["create"] }] } });
  await rbac.createClusterRoleBinding({ body: { metadata: { name: "fleet-operator" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "fleet-operator" },
    subjects: [{ kind: "ServiceAccount", name: "operator", namespace }] } });
  const { status } = await core.createNamespacedServiceAccountToken({ name: "operator", namespace,
    body: { spec: { audiences: [], expirationSeconds: 3600 } } });
  limited = new k8s.KubeConfig();
  limited.loadFromClusterAndUser(kc.getCurrentCluster(), { name: "operator", token: status.token });
  await fails(limited.makeApiClient(k8s.CoreV1Api).listNamespacedSecret({ namespace }), 403);
}

async function oneOfTwoLeads() {
  for (const name of ["one", "two"]) operators.push(new Operator(limited, name, namespace));
  await Promise.all(operators.map((o) => o.run()));
  await until("a leader", () => operators.some((o) => o.leads));
  await until("both to have looked", async () => (await fleets.listNamespacedCustomObject(
    { ...v1, group: "coordination.k8s.io", plural: "leases" })).items[0]?.spec.holderIdentity);
  assert.equal(operators.filter((o) => o.leads).length, 1);
}

async function anOldVersionIsDefaultedAndConverted() {
  const made = await fleets.createNamespacedCustomObject({ ...old, body: fleet("north", { size: 2 }, "v1alpha1") });
  assert.deepEqual([made.apiVersion, made.spec.size, made.spec.image], [`${group}/v1alpha1`, 2, "docker.io/caravel/demo:1"]);
  assert.deepEqual(made.metadata.finalizers, [finalizer]);
  assert.deepEqual((await get("north")).spec, { replicas: 2, image: "docker.io/caravel/demo:1" });
  for (const path of ["/mutate", "/validate", "/convert"]) assert.ok(hooks.calls.includes(path), path);
}

async function theWorldFollows() {
  await until("the Deployment", async () => (await deployment("north"))?.spec.replicas === 2);
  // one is made by the controllers of Deployments, which are told of by its status
  const f = await until("the status", async () => {
    const f = await get("north");
    return f.status?.ready === 2 && f.status.observedGeneration === f.metadata.generation && f;
  });
  assert.equal(f.metadata.generation, 1); // neither a status nor a finalizer is a change of what is wanted
  const { metadata } = await deployment("north");
  assert.deepEqual(metadata.managedFields.filter((m) => m.operation === "Apply").map((m) => m.manager), ["fleet-operator"]);
  await until("its Events", async () => (await core.listNamespacedEvent({ namespace })).items.some((e) => e.reason === "Sailed"));
}

async function theScaleIsChanged() {
  const scale = await fleets.patchNamespacedCustomObjectScale({ ...v1, name: "north", body: { spec: { replicas: 3 } } }, merge);
  assert.equal(scale.spec.replicas, 3);
  await until("three", async () => (await get("north", old)).status?.ready === 3);
  assert.equal((await get("north", old)).spec.size, 3);
}

async function whatIsNotAllowedIsRefused() {
  assert.match(await fails(fleets.createNamespacedCustomObject({ ...v1, body: fleet("armada", { replicas: 11 }) }), 403),
    /admission webhook "validate.fleets.example.com" denied the request: a fleet of 11 is too large/);
  // by the old version, too, of which the webhook gets the new one
  await fails(fleets.patchNamespacedCustomObject({ ...old, name: "north", body: { spec: { size: 50 } } }, merge), 403);
  await fails(fleets.patchNamespacedCustomObject({ ...v1, name: "north", body: { spec: { replicas: -1 } } }, merge), 422);
  await fails(fleets.createNamespacedCustomObject({ ...v1, body: fleet("empty", {}) }), 422);
}

async function initialEventsEndWithABookmark() {
  const seen = [];
  const request = await new k8s.Watch(limited).watch(`/apis/${group}/v1/${plural}`,
    { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan", allowWatchBookmarks: true },
    (type, o) => seen.push([type, o.metadata.name, o.metadata.annotations?.["k8s.io/initial-events-end"]]), () => {});
  await until("the bookmark", () => seen.some(([type]) => type === "BOOKMARK"));
  assert.deepEqual(seen.slice(0, 2).map(([type, name]) => [type, name]), [["ADDED", "north"], ["BOOKMARK", undefined]]);
  assert.equal(seen[1][2], "true");
  await fleets.createNamespacedCustomObject({ ...v1, body: fleet("south", { replicas: 1 }) });
  await until("what is new", () => seen.some(([type, name]) => type === "ADDED" && name === "south"));
  request.abort();
}

async function theOtherOneTakesOver() {
  const [leader] = operators.filter((o) => o.leads), [other] = operators.filter((o) => o !== leader);
  await leader.kill();
  await until("the other to lead", () => other.leads);
  await fleets.patchNamespacedCustomObject({ ...v1, name: "north", body: { spec: { replicas: 1 } } }, merge);
  await until("one", async () => (await get("north")).status?.ready === 1);
  for (const name of ["north", "south"]) assert.ok(other.seen.includes(`add ${name}`));
}

async function deletionWaitsForTheOperator() {
  const operator = operators.find((o) => o.leads);
  await until("the outside to have it", () => operator.harbour.has("north"));
  await fleets.deleteNamespacedCustomObject({ ...v1, name: "north" });
  await until("it to be gone", () => gone(get("north")));
  assert.ok(!operator.harbour.has("north"));
  await until("what it owned to be gone", () => gone(apps.readNamespacedDeployment({ name: "north", namespace })));
  await until("the informer to have told", () => operator.seen.includes("delete north"));
}

async function nothingIsLeft() {
  await operators.find((o) => o.leads).kill();
  await core.deleteNamespace({ name: namespace });
  // nobody is left to take the finalizer away, which a user does then
  await until("the object to end", () => fleets.listNamespacedCustomObject(v1).then((l) => {
    for (const f of l.items)
      if (f.metadata.finalizers?.length)
        fleets.patchNamespacedCustomObject({ ...v1, name: f.metadata.name, body: { metadata: { finalizers: null } } }, merge).catch(() => {});
    return !l.items.length;
  }));
  await until("the namespace to end", () => gone(core.readNamespace({ name: namespace })));
  await kc.makeApiClient(k8s.ApiextensionsV1Api).deleteCustomResourceDefinition({ name: `${plural}.${group}` });
  await until("the kind to be gone", () => gone(fleets.listClusterCustomObject({ group, version: "v1", plural })));
}

process.on("unhandledRejection", (e) => { if (!operators.every((o) => o.dead)) console.log(`# ${e?.body?.message ?? e?.body ?? e}`); });
await run([itIsInstalled, itRunsAsAServiceAccount, oneOfTwoLeads, anOldVersionIsDefaultedAndConverted, theWorldFollows, theScaleIsChanged,
  whatIsNotAllowedIsRefused, initialEventsEndWithABookmark, theOtherOneTakesOver, deletionWaitsForTheOperator, nothingIsLeft]);
