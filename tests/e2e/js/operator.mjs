// An operator as people write them: a kind with two versions, webhooks, a finalizer, leader election, informers.
// It runs as a service account with no more rights than it needs; several of them are one program each.
import https from "node:https";
import * as k8s from "@kubernetes/client-node";

export const group = "fleets.example.com";
export const plural = "fleets";
export const finalizer = `${group}/harbour`;
const of = { group, version: "v1", plural };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const as = (strategy) => k8s.setHeaderOptions("Content-Type", strategy);

// --- the kind ---

export function definition(webhook) {
  const status = { type: "object", properties: { ready: { type: "integer" }, observedGeneration: { type: "integer" } } };
  const version = (name, storage, number) => ({
    name, served: true, storage,
    schema: { openAPIV3Schema: { type: "object", properties: {
      spec: { type: "object", required: [number], properties: {
        [number]: { type: "integer", minimum: 0, maximum: 100 }, image: { type: "string" } } },
      status } } },
    subresources: { status: {}, scale: { specReplicasPath: `.spec.${number}`, statusReplicasPath: ".status.ready" } },
    additionalPrinterColumns: [{ name: "Ready", type: "integer", jsonPath: ".status.ready" }],
  });
  return {
    apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: `${plural}.${group}` },
    spec: {
      group, scope: "Namespaced", names: { plural, singular: "fleet", kind: "Fleet", shortNames: ["fl"] },
      versions: [version("v1alpha1", false, "size"), version("v1", true, "replicas")],
      conversion: { strategy: "Webhook", webhook: { conversionReviewVersions: ["v1"], clientConfig: webhook("/convert") } },
    },
  };
}

// --- its webhooks ---

const answers = {
  "/convert": ({ desiredAPIVersion, objects }) => ({
    result: { status: "Success" },
    convertedObjects: objects.map((o) => {
      const [was, now] = desiredAPIVersion.endsWith("/v1") ? ["size", "replicas"] : ["replicas", "size"];
      const { [was]: number, ...spec } = o.spec ?? {};
      return { ...o, apiVersion: desiredAPIVersion, spec: number === undefined ? o.spec : { ...spec, [now]: number } };
    }),
  }),
  "/mutate": ({ object }) => {
    const patch = [];
    if (!object.spec.image) patch.push({ op: "add", path: "/spec/image", value: "docker.io/caravel/demo:1" });
    if (!object.metadata.deletionTimestamp && !object.metadata.finalizers?.includes(finalizer))
      patch.push({ op: "add", path: "/metadata/finalizers", value: [...(object.metadata.finalizers ?? []), finalizer] });
    return { allowed: true, patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") };
  },
  "/validate": ({ object, oldObject, operation }) => {
    if (object.spec.replicas > 10)
      return { allowed: false, status: { code: 403, message: `a fleet of ${object.spec.replicas} is too large` } };
    const shrinks = operation === "UPDATE" && object.spec.replicas < oldObject.spec.replicas;
    return { allowed: true, warnings: shrinks ? ["ships are being laid up"] : undefined };
  },
};

export function serve(tls) {
  const calls = [];
  const server = https.createServer(tls, async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const review = JSON.parse(Buffer.concat(chunks));
    calls.push(request.url.split("?")[0]);
    const answer = { uid: review.request.uid, ...answers[calls.at(-1)](review.request) };
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: review.kind, response: answer }));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ server, calls, port: server.address().port })));
}

// --- the program ---

export class Operator {
  constructor(kc, name, namespace) {
    Object.assign(this, { name, namespace, leads: false, dead: false, queue: new Set(), seen: [], harbour: new Set() });
    this.objects = kc.makeApiClient(k8s.CustomObjectsApi);
    this.apps = kc.makeApiClient(k8s.AppsV1Api);
    this.leases = kc.makeApiClient(k8s.CoordinationV1Api);
    this.generic = k8s.KubernetesObjectApi.makeApiClient(kc);
    this.events = kc.makeApiClient(k8s.EventsV1Api);
    this.fleets = k8s.makeInformer(kc, `/apis/${group}/v1/${plural}`, () => this.objects.listClusterCustomObject(of));
    this.deployments = k8s.makeInformer(kc, `/apis/apps/v1/deployments?labelSelector=fleet`,
      () => this.apps.listDeploymentForAllNamespaces({ labelSelector: "fleet" }), "fleet");
  }

  async run() {
    const queue = (o) => this.queue.add(`${o.metadata.namespace}/${o.metadata.name}`);
    for (const verb of ["add", "update", "delete"])
      this.fleets.on(verb, (o) => (this.seen.push(`${verb} ${o.metadata.name}`), queue(o)));
    this.deployments.on("change", (o) => queue({ metadata: { ...o.metadata, name: o.metadata.labels.fleet } }));
    for (const informer of [this.fleets, this.deployments])
      informer.on("error", () => this.dead || setTimeout(() => informer.start(), 100));
    await this.fleets.start();
    await this.deployments.start();
    this.ended = Promise.all([this.elect(), this.work()]);
  }

  // Without giving the lease back: as if the process had been killed.
  async kill() {
    this.dead = true;
    await this.ended;
    await this.fleets.stop();
    await this.deployments.stop();
  }

  async elect() {
    const at = { name: "fleet-operator", namespace: this.namespace };
    while (!this.dead) {
      try {
        const now = new k8s.V1MicroTime();
        const mine = { holderIdentity: this.name, leaseDurationSeconds: 2, renewTime: now };
        const lease = await this.leases.readNamespacedLease(at).catch((e) => (e.code === 404 ? null : Promise.reject(e)));
        const over = !lease || Date.now() - new Date(lease.spec.renewTime) > lease.spec.leaseDurationSeconds * 1000;
        if (!lease)
          await this.leases.createNamespacedLease({ namespace: this.namespace, body: { metadata: { name: at.name }, spec: mine } });
        else if (over || lease.spec.holderIdentity === this.name)
          await this.leases.replaceNamespacedLease({ ...at, body: { ...lease, spec: { ...lease.spec, ...mine } } });
        this.leads = !lease || over || lease.spec.holderIdentity === this.name;
      } catch (e) {
        if (e.code !== 409 && e.code !== 403) throw e; // somebody else was quicker, or the namespace ends
        this.leads = false;
      }
      await sleep(200);
    }
    this.leads = false;
  }

  async work() {
    while (!this.dead) {
      const [key] = this.leads ? this.queue : [];
      if (!key) {
        await sleep(20);
        continue;
      }
      this.queue.delete(key);
      await this.reconcile(...key.split("/")).catch((e) => {
        // of a cache that is behind, or a namespace that ends
        if (![403, 404, 409].includes(e.code)) throw e;
        this.queue.add(key);
      });
    }
  }

  async reconcile(namespace, name) {
    const fleet = this.fleets.get(name, namespace);
    if (!fleet) return;
    const { uid, generation, deletionTimestamp, finalizers = [] } = fleet.metadata;
    if (deletionTimestamp) {
      if (!finalizers.includes(finalizer)) return;
      this.harbour.delete(name); // what is outside of the cluster
      const at = finalizers.indexOf(finalizer);
      await this.objects.patchNamespacedCustomObject({ ...of, namespace, name, body: [
        { op: "test", path: `/metadata/finalizers/${at}`, value: finalizer },
        { op: "remove", path: `/metadata/finalizers/${at}` }] }, as(k8s.PatchStrategy.JsonPatch));
      return;
    }
    this.harbour.add(name);
    const labels = { fleet: name };
    await this.generic.patch({
      apiVersion: "apps/v1", kind: "Deployment",
      metadata: { name, namespace, labels, ownerReferences: [
        { apiVersion: `${group}/v1`, kind: "Fleet", name, uid, controller: true, blockOwnerDeletion: true }] },
      spec: { replicas: fleet.spec.replicas, selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "ship", image: fleet.spec.image }] } } },
    }, undefined, undefined, "fleet-operator", true, k8s.PatchStrategy.ServerSideApply);
    const ready = this.deployments.get(name, namespace)?.status?.replicas ?? 0;
    if (fleet.status?.ready === ready && fleet.status?.observedGeneration === generation) return;
    const status = { ready, observedGeneration: generation };
    await this.objects.replaceNamespacedCustomObjectStatus({ ...of, namespace, name, body: { ...fleet, status } });
    await this.events.createNamespacedEvent({ namespace, body: {
      metadata: { generateName: "fleet-" }, eventTime: new k8s.V1MicroTime(), type: "Normal", reason: "Sailed", action: "Reconcile",
      reportingController: `${group}/operator`, reportingInstance: this.name, note: `${ready} ready`,
      regarding: { apiVersion: `${group}/v1`, kind: "Fleet", name, namespace, uid } } });
  }
}
