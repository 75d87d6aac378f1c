// The official JavaScript client and a node: what goes through the kubelet, over WebSockets.
import assert from "node:assert/strict";
import net from "node:net";
import { PassThrough, Readable } from "node:stream";
import * as k8s from "@kubernetes/client-node";
import { run, until } from "./tap.mjs";

const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const namespace = "default";
const name = "js";

function collect() {
  const stream = new PassThrough();
  stream.text = "";
  stream.on("data", (d) => (stream.text += d));
  return stream;
}

async function aPodRuns() {
  await core.createNamespacedPod({
    namespace,
    body: {
      metadata: { name },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "c", image: "docker.io/caravel/demo:1", ports: [{ containerPort: 8080 }],
          command: ["sh", "-c", "echo started; mkdir -p /tmp/w; echo served > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w"] }],
      },
    },
  });
  const pod = await until("it to run", async () => {
    const p = await core.readNamespacedPod({ name, namespace });
    return p.status.phase === "Running" && p;
  }, 60);
  assert.match(pod.status.podIP, /^\d+\./);
}

function exec(command, stdin) {
  const out = collect();
  const err = collect();
  return new Promise((resolve, reject) => {
    new k8s.Exec(kc).exec(namespace, name, "c", command, out, err, stdin ?? null, false,
      (status) => setImmediate(() => resolve({ status, out: out.text, err: err.text }))).catch(reject);
  });
}

async function execAndItsExitStatus() {
  const good = await exec(["sh", "-c", "echo out; echo err >&2"]);
  assert.equal(good.status.status, "Success", good.status.message);
  assert.deepEqual([good.out, good.err], ["out\n", "err\n"]);
  const bad = await exec(["sh", "-c", "exit 7"]);
  assert.equal(bad.status.status, "Failure");
  assert.equal(bad.status.reason, "NonZeroExitCode");
  assert.equal(bad.status.details.causes.find((c) => c.reason === "ExitCode").message, "7");
}

async function execWithInput() {
  const text = "through the pod\n".repeat(2000);
  const r = await exec(["head", "-c", String(text.length)], Readable.from([text]));
  assert.equal(r.status.status, "Success", r.status.message);
  assert.equal(r.out, text);
}

async function logs() {
  const out = collect();
  const request = await new k8s.Log(kc).log(namespace, name, "c", out, { follow: true });
  await until("the line", () => out.text === "started\n");
  request.abort();
  assert.equal(await core.readNamespacedPodLog({ name, namespace, tailLines: 1 }), "started\n");
}

async function portForward() {
  const forward = new k8s.PortForward(kc);
  const server = net.createServer((socket) => forward.portForward(namespace, name, [8080], socket, null, socket));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  let got = "";
  const socket = net.connect(server.address().port, "127.0.0.1");
  socket.on("data", (d) => (got += d));
  socket.write("GET / HTTP/1.0\r\n\r\n");
  await until("an answer", () => got.endsWith("served\n"));
  socket.destroy();
  server.close();
}

async function deletion() {
  await core.deleteNamespacedPod({ name, namespace });
  await until("it to go", () => core.readNamespacedPod({ name, namespace }).then(() => false, (e) => e.code === 404));
}

await run([aPodRuns, execAndItsExitStatus, execWithInput, logs, portForward, deletion]);
