// Exec, attach and port-forward, WebSocket by WebSocket: every subprotocol, large transfers, slow and lost clients.
// CARAVEL_PID names the server's process, whose memory and descriptors are looked at.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import { PassThrough } from "node:stream";
import * as k8s from "@kubernetes/client-node";
import WebSocket from "ws";
import { run, until } from "./tap.mjs";

const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const pod = "/api/v1/namespaces/default/pods/streams";
const tls = {};
await kc.applyToHTTPSOptions(tls);
const MB = 1024 * 1024;
const [ECHO, DEAF, SOURCE, WEB, NOBODY] = [9000, 9001, 9002, 8080, 9];
const SOURCE_MB = 96;

// One WebSocket and what came: channels[n] is a list of buffers. Rejected with the status when there is no upgrade.
function open(path, protocols) {
  const ws = new WebSocket(kc.getCurrentCluster().server.replace("https:", "wss:") + path, protocols, tls);
  ws.channels = [];
  ws.text = (n) => Buffer.concat(ws.channels[n] ?? []).toString();
  ws.on("message", (data, binary) => {
    const n = binary ? data[0] : data[0] - 0x30;
    const bytes = binary ? data.subarray(1) : Buffer.from(data.subarray(1).toString(), "base64");
    if (ws.sink) ws.sink(n, bytes);
    else (ws.channels[n] ??= []).push(bytes);
  });
  ws.closed = new Promise((resolve) => ws.on("close", resolve));
  ws.say = (n, bytes) => ws.send(Buffer.concat([Buffer.from([n]), Buffer.from(bytes)]));
  ws.say64 = (n, bytes) => ws.send(n + Buffer.from(bytes).toString("base64"));
  return new Promise((resolve, reject) => {
    ws.on("open", () => resolve(ws));
    ws.on("error", reject);
    ws.on("unexpected-response", (_, response) => {
      let body = "";
      response.on("data", (d) => (body += d)).on("end", () => reject(Object.assign(new Error(body), { code: response.statusCode })));
    });
  });
}

function query(params) {
  return "?" + params.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
}

function exec(command, protocols, { stdin = false, tty = false } = {}) {
  const params = [["stdout", true], ...(tty ? [["tty", true]] : [["stderr", true]]), ...(stdin ? [["stdin", true]] : [])];
  return open(`${pod}/exec${query([...params, ...command.map((c) => ["command", c])])}`, protocols);
}

// The first message of each channel is its port; what comes after is what is left in channels.
async function forward(ports, protocols = ["v4.channel.k8s.io"]) {
  const ws = await open(`${pod}/portforward?${[ports].flat().map((p) => `ports=${p}`).join("&")}`, protocols);
  const wanted = [ports].flat().join().split(",").flatMap((p) => [Number(p), Number(p)]);
  await until("the ports", () => wanted.every((_, i) => ws.channels[i]));
  assert.deepEqual(wanted.map((_, i) => ws.channels[i].shift().readUInt16LE(0)), wanted);
  return ws;
}

function server() {
  const field = (file, name) => Number(fs.readFileSync(`/proc/${process.env.CARAVEL_PID}/${file}`, "utf8").match(`${name}:\\s+(\\d+)`)[1]);
  return {
    rss: () => field("status", "VmRSS") * 1024,
    ticks: () => fs.readFileSync(`/proc/${process.env.CARAVEL_PID}/stat`, "utf8").split(" ").slice(13, 15).reduce((n, t) => n + Number(t), 0),
    // TCP only: connections to containerd are kept for the next call
    sockets: () => {
      const proc = `/proc/${process.env.CARAVEL_PID}`;
      const tcp = new Set(["tcp", "tcp6"].flatMap((t) => fs.readFileSync(`${proc}/net/${t}`, "utf8").split("\n").map((l) => l.trim().split(/\s+/)[9])));
      return fs.readdirSync(`${proc}/fd`).filter((fd) => {
        try {
          return tcp.has(fs.readlinkSync(`${proc}/fd/${fd}`).match(/^socket:\[(\d+)\]$/)?.[1]);
        } catch {
          return false; // closed meanwhile
        }
      }).length;
    },
  };
}

// Waits until the server has nothing to do any more, however long that takes it.
async function standstill() {
  const seen = [];
  await until("a standstill", () => {
    seen.push(server().ticks());
    return seen.length > 20 && seen.at(-1) - seen.at(-21) <= 1;
  }, 60);
}

async function aPodRuns() {
  const listen = (port, program) => `nc -ll -p ${port} -e ${program} &`;
  const script = `${listen(ECHO, "cat")} ${listen(DEAF, "sleep 1000")} ${listen(SOURCE, `dd if=/dev/zero bs=1M count=${SOURCE_MB}`)}
    mkdir -p /tmp/w; echo served > /tmp/w/index.html; httpd -p ${WEB} -h /tmp/w; while read -r l; do echo "heard $l"; done`;
  await core.createNamespacedPod({
    namespace: "default",
    body: {
      metadata: { name: "streams" },
      spec: { terminationGracePeriodSeconds: 0,
        containers: [{ name: "c", image: "docker.io/caravel/demo:1", stdin: true, command: ["sh", "-c", script] }] },
    },
  });
  await until("it to run", async () =>
    (await core.readNamespacedPod({ name: "streams", namespace: "default" })).status.phase === "Running", 60);
  await until("its web server", async () => (await fetchThrough(WEB)).endsWith("served\n"), 30);
}

async function fetchThrough(port) {
  const ws = await forward(port);
  ws.say(0, "GET / HTTP/1.0\r\n\r\n");
  await ws.closed;
  return ws.text(0);
}

// Status of v4 and later, text before; each subprotocol carries stdin, both outputs and the verdict.
async function everyExecProtocol() {
  for (const protocol of ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", undefined]) {
    const ws = await exec(["sh", "-c", "read l; echo out $l; echo err >&2; exit 7"], protocol ? [protocol] : [], { stdin: true });
    assert.equal(ws.protocol, protocol ?? "");
    protocol?.includes("base64") ? ws.say64(0, "in\n") : ws.say(0, "in\n");
    await ws.closed;
    assert.deepEqual([ws.text(1), ws.text(2)], ["out in\n", "err\n"], protocol);
    if (!/^v[45]/.test(protocol)) {
      assert.match(ws.text(3), /non-zero exit code.*exit code 7/, protocol);
      continue;
    }
    const status = JSON.parse(ws.text(3));
    assert.deepEqual([status.status, status.reason], ["Failure", "NonZeroExitCode"]);
    assert.equal(status.details.causes.find((c) => c.reason === "ExitCode").message, "7");
  }
}

async function theNewestOfManyIsTaken() {
  const ws = await exec(["true"], ["v3.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]);
  assert.equal(ws.protocol, "v5.channel.k8s.io");
  await ws.closed;
  assert.equal(JSON.parse(ws.text(3)).status, "Success");
  const refused = await exec(["true"], ["v3.channel.k8s.io"]).then(() => assert.fail("it went through"), (e) => e);
  assert.equal(refused.code, 400);
}

async function closingInputEndsCat() {
  const ws = await exec(["cat"], ["v5.channel.k8s.io"], { stdin: true });
  ws.say(0, "to the end");
  ws.send(Buffer.from([255, 0]));
  await ws.closed;
  assert.equal(ws.text(1), "to the end");
  assert.equal(JSON.parse(ws.text(3)).status, "Success");
}

async function aTerminalIsResized() {
  const ws = await exec(["sh", "-c", "while read l; do stty size; done"], ["v5.channel.k8s.io"], { stdin: true, tty: true });
  for (const [width, height] of [[111, 33], [80, 24]]) {
    ws.say(4, JSON.stringify({ Width: width, Height: height }));
    await until("the size", () => {
      ws.say(0, "\r"); // a line a look: the size is set beside the input, not in order with it
      return ws.text(1).includes(`${height} ${width}`);
    });
  }
  ws.terminate();
}

async function attachHearsAndSays() {
  for (const protocol of ["v5.channel.k8s.io", "v4.base64.channel.k8s.io"]) {
    const ws = await open(`${pod}/attach?stdin=true&stdout=true&stderr=true`, [protocol]);
    protocol.includes("base64") ? ws.say64(0, protocol + "\n") : ws.say(0, protocol + "\n");
    await until("the answer", () => ws.text(1).includes(`heard ${protocol}`));
    ws.close();
    await ws.closed;
  }
}

async function portForwardProtocols() {
  for (const protocol of ["v4.channel.k8s.io", "v4.base64.channel.k8s.io", undefined]) {
    const ws = await forward(ECHO, protocol ? [protocol] : []);
    assert.equal(ws.protocol, protocol ?? "");
    protocol?.includes("base64") ? ws.say64(0, "hello") : ws.say(0, "hello");
    await until("the echo", () => ws.text(0) === "hello");
    ws.close();
    await ws.closed;
  }
}

async function severalPortsAtOnce() {
  for (const ports of [[WEB, ECHO, NOBODY], `${WEB},${ECHO},${NOBODY}`]) {
    const ws = await forward(ports);
    ws.say(2, "second");
    ws.say(0, "GET / HTTP/1.0\r\n\r\n");
    await until("all three", () => ws.text(0).endsWith("served\n") && ws.text(2) === "second" && /refused/.test(ws.text(5)));
    ws.terminate();
  }
}

async function wrongPortsAreTold() {
  for (const [ports, words] of [["x", /parse "x" as a port/], ["0", /must be > 0/], ["70000", /out of range/], [[], /"port" is required/]]) {
    const e = await forward(ports).then(() => assert.fail("it went through"), (e) => e);
    assert.equal(e.code, 400);
    assert.match(JSON.parse(e.message).message, words);
  }
}

async function aRefusedConnectionIsTold() {
  const err = new PassThrough();
  const input = new PassThrough();
  let told = "";
  err.on("data", (d) => (told += d));
  await new k8s.PortForward(kc).portForward("default", "streams", [NOBODY], new PassThrough(), err, input);
  await until("the refusal", () => /error forwarding port 9 to pod .*connection refused/.test(told));
}

// As much as goes in must come out, with neither end waiting for the other.
async function aLargeEcho() {
  const ws = await forward(ECHO);
  const sent = createHash("sha256");
  const got = createHash("sha256");
  const total = 48 * MB;
  let n = 0;
  ws.sink = (channel, bytes) => {
    if (channel !== 0) return;
    got.update(bytes);
    n += bytes.length;
  };
  const before = server().rss();
  let most = 0;
  for (let i = 0; i < total / MB; i++) {
    const bytes = randomBytes(MB);
    sent.update(bytes);
    ws.say(0, bytes);
    await until("room", () => ws.bufferedAmount < 8 * MB, 60);
    most = Math.max(most, server().rss());
  }
  await until("all of it", () => n === total, 60);
  assert.equal(got.digest("hex"), sent.digest("hex"));
  assert.ok(most - before < 24 * MB, `grew by ${most - before}`);
  ws.terminate();
}

async function aSlowReaderCostsNoMemory() {
  const before = server().rss();
  const ws = await forward(SOURCE);
  let n = ws.channels[0].reduce((sum, b) => sum + b.length, 0); // it speaks first: some may be here with the port
  ws.sink = (channel, bytes) => (n += channel === 0 ? bytes.length : 0);
  ws._socket.pause();
  await standstill();
  assert.ok(server().rss() - before < 16 * MB, `grew by ${server().rss() - before}`);
  assert.ok(n < SOURCE_MB * MB);
  ws._socket.resume();
  await until("the rest", () => n === SOURCE_MB * MB, 60);
}

async function aDeafPodCostsNoMemory() {
  const before = server().rss();
  const ws = await forward(DEAF);
  for (let i = 0; i < 64; i++) ws.say(0, randomBytes(MB));
  await standstill();
  assert.ok(ws.bufferedAmount > 16 * MB, `only ${ws.bufferedAmount} wait here`);
  assert.ok(server().rss() - before < 16 * MB, `grew by ${server().rss() - before}`);
  ws.terminate();
  // that we left stands behind all that waits: the pod must go first
  await (await exec(["pkill", "sleep"], ["v5.channel.k8s.io"])).closed;
}

// Who leaves without a word, in the middle of a transfer or of nothing, leaves nothing behind.
async function lostClientsLeaveNothing() {
  await standstill();
  const before = server().sockets();
  for (const half of [false, true]) {
    const all = await Promise.all([...Array(10)].flatMap((_, i) => [
      forward(i % 2 ? SOURCE : ECHO), exec(["cat", "/dev/zero"], ["v5.channel.k8s.io"]),
      exec(["cat"], ["v4.channel.k8s.io"], { stdin: true }),
      open(`${pod}/attach?stdin=true&stdout=true`, ["v5.channel.k8s.io"]),
    ]));
    assert.ok(server().sockets() > before + 40);
    for (const ws of all) if (half) ws._socket.pause();
    if (!half) await until("bytes", () => all[1].channels[1]?.length);
    for (const ws of all) ws.terminate();
    await until("no more sockets than before", () => server().sockets() <= before, 60);
  }
}

async function fiftyAtOnce() {
  const all = await Promise.all([...Array(50)].map((_, i) => exec(["sh", "-c", `read l; echo ${i} $l`], ["v5.channel.k8s.io"], { stdin: true })));
  all.forEach((ws, i) => ws.say(0, `line ${i}\n`));
  await Promise.all(all.map((ws) => ws.closed));
  all.forEach((ws, i) => assert.equal(ws.text(1), `${i} line ${i}\n`));
}

await run([aPodRuns, everyExecProtocol, theNewestOfManyIsTaken, closingInputEndsCat, aTerminalIsResized, attachHearsAndSays,
  portForwardProtocols, severalPortsAtOnce, wrongPortsAreTold, aRefusedConnectionIsTold, aLargeEcho, aSlowReaderCostsNoMemory,
  aDeafPodCostsNoMemory, lostClientsLeaveNothing, fiftyAtOnce]);
