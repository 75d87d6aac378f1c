// What stands in for the sidecars of a driver: provisioner, attacher and resizer in one. It knows nothing but the API, which it looks
// at five times a second, and does what upstream's do with its objects.
import fs from "node:fs";
import https from "node:https";
import { KubeConfig } from "@kubernetes/client-node";

const FINALIZER = "external-attacher/test";

export async function sidecars(driver, kubeconfig, directory) {
  let server, options;

  // The server may be another one now, at another port.
  async function ask(method, where, body, type = "application/merge-patch+json") {
    const text = body && JSON.stringify(body);
    const headers = text ? { "Content-Type": method === "PATCH" ? type : "application/json", "Content-Length": Buffer.byteLength(text) } : {};
    return new Promise((ok, bad) => {
      const q = https.request(`${server}${where}`, { ...options, method, headers, timeout: 5000 }, (r) => {
        let all = "";
        r.on("data", (d) => (all += d));
        r.on("end", () => (r.statusCode < 300 || r.statusCode === 404 || r.statusCode === 409 ? ok(JSON.parse(all)) : bad(new Error(all))));
      });
      q.on("error", bad);
      q.end(text);
    });
  }

  const claimPath = (c) => `/api/v1/namespaces/${c.metadata.namespace}/persistentvolumeclaims/${c.metadata.name}`;

  async function provision(claim, classes) {
    const of = classes.find((c) => c.metadata.name === claim.spec.storageClassName);
    const notes = claim.metadata.annotations ?? {}, id = `pvc-${claim.metadata.uid}`;
    if (!of || claim.spec.volumeName || notes["volume.kubernetes.io/storage-provisioner"] !== driver) return;
    if (of.volumeBindingMode === "WaitForFirstConsumer" && !notes["volume.kubernetes.io/selected-node"]) return;
    fs.mkdirSync(directory(id), { recursive: true });
    await ask("POST", "/api/v1/persistentvolumes", {
      apiVersion: "v1", kind: "PersistentVolume",
      metadata: { name: id, annotations: { "pv.kubernetes.io/provisioned-by": driver } },
      spec: {
        capacity: { storage: claim.spec.resources.requests.storage }, accessModes: claim.spec.accessModes,
        storageClassName: of.metadata.name, persistentVolumeReclaimPolicy: of.reclaimPolicy,
        claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace: claim.metadata.namespace, name: claim.metadata.name, uid: claim.metadata.uid },
        csi: { driver, volumeHandle: id, fsType: "ext4" },
      },
    });
  }

  async function unprovision(volume) {
    if (volume.spec.csi?.driver !== driver || volume.status?.phase !== "Released" || volume.spec.persistentVolumeReclaimPolicy !== "Delete") return;
    fs.rmSync(directory(volume.spec.csi.volumeHandle), { recursive: true, force: true });
    await ask("DELETE", `/api/v1/persistentvolumes/${volume.metadata.name}`);
  }

  async function attach(a) {
    const where = `/apis/storage.k8s.io/v1/volumeattachments/${a.metadata.name}`, has = (a.metadata.finalizers ?? []).includes(FINALIZER);
    if (a.spec.attacher !== driver) return;
    if (a.metadata.deletionTimestamp) {
      if (has) await ask("PATCH", where, { metadata: { finalizers: a.metadata.finalizers.filter((f) => f !== FINALIZER) } });
    } else if (!has) {
      await ask("PATCH", where, { metadata: { finalizers: [...(a.metadata.finalizers ?? []), FINALIZER] } });
    } else if (!a.status?.attached) {
      await ask("PATCH", `${where}/status`, { status: { attached: true, attachmentMetadata: { at: "here" } } });
    }
  }

  // The claims of these tests say their sizes in Mi.
  async function resize(claim, volumes) {
    const volume = volumes.find((v) => v.metadata.name === claim.spec.volumeName), wanted = claim.spec.resources.requests.storage;
    if (volume?.spec.csi?.driver !== driver || claim.status?.phase !== "Bound") return;
    if (parseInt(wanted) > parseInt(volume.spec.capacity.storage))
      await ask("PATCH", `/api/v1/persistentvolumes/${volume.metadata.name}`, { spec: { capacity: { storage: wanted } } });
    else if (parseInt(wanted) > parseInt(claim.status.capacity.storage)) {
      const conditions = claim.status.conditions ?? [], pending = { type: "FileSystemResizePending", status: "True" };
      if (!conditions.some((c) => c.type === pending.type))
        await ask("PATCH", `${claimPath(claim)}/status`, { status: { conditions: [...conditions, pending] } });
    }
  }

  async function look() {
    const kc = new KubeConfig();
    kc.loadFromFile(kubeconfig);
    server = kc.getCurrentCluster().server;
    options = {};
    await kc.applyToHTTPSOptions(options);
    const list = async (where) => (await ask("GET", where)).items;
    const [claims, volumes, classes, attachments] = await Promise.all(
      ["/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes", "/apis/storage.k8s.io/v1/storageclasses", "/apis/storage.k8s.io/v1/volumeattachments"].map(list));
    for (const c of claims) await provision(c, classes);
    for (const c of claims) await resize(c, volumes);
    for (const v of volumes) await unprovision(v);
    for (const a of attachments) await attach(a);
  }

  for (;;) {
    await look().catch((e) => console.error(`sidecars: ${e.message ?? e}`));
    await new Promise((ok) => setTimeout(ok, 200));
  }
}
