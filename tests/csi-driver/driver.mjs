// A driver of volumes on this node: node NAME ROOT STATE NODE [KUBECONFIG]. Its volumes are directories in STATE/volumes. With a
// kubeconfig it has its sidecars, too.
//
// What it is told, lines of JSON on its input, it answers by "ok":
//	{hang: "NodePublishVolume"}	that method never answers, from now on; null: it does again, also to those who waited
//	{for: "default"}	only of pods of that namespace; null: of all
//	{fail: "NodeStageVolume"}	it fails
//	{abnormal: "words"}		volumes are not well
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { sidecars } from "./sidecars.mjs";

const [name, root, state, node, kubeconfig] = process.argv.slice(2);
const how = { hang: null, for: null, fail: null, abnormal: null };
let held = [];
const here = path.dirname(new URL(import.meta.url).pathname);
const load = (file) => grpc.loadPackageDefinition(loader.loadSync(path.join(here, file), { keepCase: true, longs: Number }));

// --- mounts ---

function run(...words) {
  const r = spawnSync(words[0], words.slice(1), { encoding: "utf8" });
  if (r.status !== 0) throw new Error(`${words.join(" ")}: ${r.stderr}`);
}
const mounted = (at) => fs.readFileSync("/proc/self/mountinfo", "utf8").split("\n").some((line) => line.split(" ")[4] === at);

function bind(from, to, readonly) {
  fs.mkdirSync(to, { recursive: true });
  if (mounted(to)) return;
  run("mount", "--bind", from, to);
  if (readonly) run("mount", "-o", "remount,bind,ro", to);
}
function release(at) {
  while (mounted(at)) run("umount", at);
}

const directory = (id) => path.join(state, "volumes", id);

// --- the calls ---

const calls = {
  NodeGetInfo: () => ({ node_id: node, max_volumes_per_node: 8, accessible_topology: { segments: { "topology.test/node": node } } }),
  NodeGetCapabilities: () => ({ capabilities: [1, 2, 3, 4].map((type) => ({ rpc: { type } })) }),
  NodeStageVolume: (q) => {
    if (!fs.existsSync(directory(q.volume_id))) throw new Error(`there is no volume ${q.volume_id}`);
    bind(directory(q.volume_id), q.staging_target_path);
    return {};
  },
  NodeUnstageVolume: (q) => {
    release(q.staging_target_path);
    return {};
  },
  NodePublishVolume: (q) => {
    const own = q.volume_context?.["csi.storage.k8s.io/ephemeral"] === "true";
    if (own) {
      fs.mkdirSync(directory(q.volume_id), { recursive: true });
      fs.writeFileSync(path.join(directory(q.volume_id), "pod"), q.volume_context["csi.storage.k8s.io/pod.name"]);
    }
    bind(own ? directory(q.volume_id) : q.staging_target_path, q.target_path, q.readonly);
    return {};
  },
  NodeUnpublishVolume: (q) => {
    release(q.target_path);
    if (fs.existsSync(q.target_path)) fs.rmdirSync(q.target_path);
    return {};
  },
  NodeGetVolumeStats: () => ({
    usage: [{ available: 60, total: 100, used: 40, unit: 1 }],
    volume_condition: { abnormal: how.abnormal !== null, message: how.abnormal ?? "" },
  }),
  NodeExpandVolume: (q) => ({ capacity_bytes: q.capacity_range.required_bytes }),
};

function answer(method, work) {
  return (call, done) => {
    fs.appendFileSync(path.join(state, "calls"), `${method} ${call.request.volume_id ?? ""}\n`);
    const go = () => {
      if (how.fail === method) return done({ code: grpc.status.INTERNAL, details: `${method} fails, as it was told` });
      try {
        return done(null, work(call.request));
      } catch (e) {
        return done({ code: grpc.status.INTERNAL, details: String(e.message ?? e) });
      }
    };
    const whose = call.request.volume_context?.["csi.storage.k8s.io/pod.namespace"];
    if (how.hang === method && (how.for === null || how.for === whose)) held.push(go);
    else go();
  };
}

// --- sockets ---

const csi = load("csi.proto").csi.v1, registration = load("registration.proto").pluginregistration;
const endpoint = path.join(root, "plugins", name, "csi.sock"), register = path.join(root, "plugins_registry", `${name}-reg.sock`);
const said = [];

function listen(socket, add) {
  const server = new grpc.Server();
  add(server);
  fs.mkdirSync(path.dirname(socket), { recursive: true });
  fs.rmSync(socket, { force: true });
  return new Promise((ok, bad) => {
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (e) => (e ? bad(e) : ok(server)));
  });
}

fs.mkdirSync(path.join(state, "volumes"), { recursive: true });
await listen(endpoint, (s) => {
  s.addService(csi.Node.service, Object.fromEntries(Object.entries(calls).map(([m, work]) => [m, answer(m, work)])));
  s.addService(csi.Identity.service, { GetPluginInfo: (_, done) => done(null, { name, vendor_version: "1" }), Probe: (_, done) => done(null, {}) });
});
await listen(register, (s) =>
  s.addService(registration.Registration.service, {
    GetInfo: (_, done) => done(null, { type: "CSIPlugin", name, endpoint, supported_versions: ["1.0.0"] }),
    NotifyRegistrationStatus: (call, done) => {
      said.push(call.request);
      fs.appendFileSync(path.join(state, "calls"), `registered ${call.request.plugin_registered} ${call.request.error}\n`);
      done(null, {});
    },
  }),
);
if (kubeconfig) sidecars(name, kubeconfig, directory);

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  Object.assign(how, JSON.parse(line));
  if (how.hang === null) for (const go of held.splice(0)) go();
  console.log("ok");
});
process.stdin.on("end", () => {
  for (const socket of [register, endpoint]) fs.rmSync(socket, { force: true });
  process.exit(0);
});
console.log("ok");
