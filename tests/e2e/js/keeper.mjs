// A program that keeps keys, by gRPC as others speak it: a KMS v2 plug-in (v2.KeyManagementService) and a signer of tokens
// (v1.ExternalJWTSigner) on one unix socket. How it behaves, lines of JSON on its input say; each is answered by "ok".
//
//	kms: {key: the key it seals by, health, lie: the key it says instead, hang, big, fail}
//	signer: {sign: the key it signs by, offer: [keys], hide: [keys], hang, big, fail, header}
import crypto from "node:crypto";
import readline from "node:readline";
import grpc from "@grpc/grpc-js";

const kms = { key: "k1", health: "ok" };
const signer = { sign: "s1", offer: ["s1"], hide: [], hint: 60 };
const pairs = new Map();

// --- protobuf, as far as these messages go ---

function varint(n) {
  const out = [];
  for (n = BigInt(n); n > 127n; n >>= 7n) out.push(Number(n & 127n) | 128);
  return Buffer.from([...out, Number(n)]);
}
const bytes = (field, b) => Buffer.concat([varint((field << 3) | 2), varint(Buffer.byteLength(b)), Buffer.from(b)]);
const number = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);

function fields(message) {
  const found = {};
  for (let at = 0; at < message.length; ) {
    const read = () => {
      let n = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const b = BigInt(message[at++]);
        n |= (b & 127n) << shift;
        if (b < 128n) return Number(n);
      }
    };
    const tag = read();
    if ((tag & 7) === 0) found[tag >> 3] = read();
    else {
      const n = read();
      found[tag >> 3] = message.subarray(at, (at += n));
    }
  }
  return found;
}

const raw = (path) => ({
  path, requestStream: false, responseStream: false,
  requestSerialize: (b) => b, requestDeserialize: (b) => b, responseSerialize: (b) => b, responseDeserialize: (b) => b,
});
const service = (name, methods) => Object.fromEntries(methods.map((m) => [m, raw(`/${name}/${m}`)]));

// What all calls may do instead of an answer.
const misbehaving = (how, answer) => (call, done) => {
  if (how.hang) return;
  if (how.fail) return done({ code: grpc.status.INTERNAL, details: how.fail });
  if (how.big) return done(null, bytes(15, Buffer.alloc(10 * 1024 * 1024)));
  try {
    return done(null, answer(fields(call.request)));
  } catch (e) {
    return done({ code: grpc.status.INVALID_ARGUMENT, details: String(e) });
  }
};

// --- KMS v2 ---

const secret = (key) => crypto.createHash("sha256").update(`of ${key}`).digest();

function seal(key, plain) {
  const iv = crypto.randomBytes(12), c = crypto.createCipheriv("aes-256-gcm", secret(key), iv);
  return Buffer.concat([iv, c.update(plain), c.final(), c.getAuthTag()]);
}
function open(key, sealed) {
  const d = crypto.createDecipheriv("aes-256-gcm", secret(key), sealed.subarray(0, 12));
  d.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([d.update(sealed.subarray(12, -16)), d.final()]);
}

const keeper = {
  Status: misbehaving(kms, () => Buffer.concat([bytes(1, "v2"), bytes(2, kms.health), bytes(3, kms.key)])),
  Encrypt: misbehaving(kms, (q) => Buffer.concat([bytes(1, seal(kms.key, q[1])), bytes(2, kms.lie ?? kms.key)])),
  Decrypt: misbehaving(kms, (q) => bytes(1, open(q[3].toString(), q[1]))),
};

// --- ExternalJWTSigner v1 ---

function pair(name) {
  if (!pairs.has(name)) pairs.set(name, crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }));
  return pairs.get(name);
}

const signs = {
  Sign: misbehaving(signer, (q) => {
    const header = Buffer.from(JSON.stringify(signer.header ?? { alg: "RS256", kid: signer.sign, typ: "JWT" })).toString("base64url");
    const text = `${header}.${q[1].toString()}`;
    return Buffer.concat([bytes(1, header), bytes(2, crypto.sign("sha256", text, pair(signer.sign).privateKey).toString("base64url"))]);
  }),
  FetchKeys: misbehaving(signer, () => Buffer.concat([
    ...signer.offer.map((k) => bytes(1, Buffer.concat([
      bytes(1, k), bytes(2, pair(k).publicKey.export({ type: "spki", format: "der" })), number(3, signer.hide.includes(k) ? 1 : 0)]))),
    bytes(2, number(1, Math.floor(Date.now() / 1000))), number(3, signer.hint)])),
  Metadata: misbehaving(signer, () => number(1, 7200)),
};

const server = new grpc.Server();
server.addService(service("v2.KeyManagementService", Object.keys(keeper)), keeper);
server.addService(service("v1.ExternalJWTSigner", Object.keys(signs)), signs);
server.bindAsync(`unix:${process.argv[2]}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  console.log("ok");
});
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const said = JSON.parse(line);
  Object.assign(kms, said.kms);
  Object.assign(signer, said.signer);
  console.log("ok");
}).on("close", () => process.exit(0));
