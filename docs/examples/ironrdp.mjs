// Logs on with IronRDP's web client: node ironrdp.mjs FOLDER HOST:PORT USER DOMAIN PASSWORD
//
// FOLDER is the npm package ironrdp-wasm. Prints {"kind": ..., "text": ...}: how it ended, in IronRDP's words. Exit code 0
// if it connected, else 1.
//
// The client expects a browser: it opens a WebSocket to a gateway, sends one RDCleanPath PDU with the X.224 Connection
// Request, gets one back with the Connection Confirm and the server's certificate, and from then on sends the plaintext
// of the TLS channel that the gateway has with the server. Here the gateway is in place of the WebSocket itself, so
// nothing is needed but node 18 or later.
import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import tls from "node:tls";

globalThis.crypto ??= webcrypto; // node 18
globalThis.CloseEvent ??= class extends Event {
  constructor(type, values) {
    super(type);
    Object.assign(this, values);
  }
};

const WebSocketState = { CONNECTING: 0, OPEN: 1, CLOSED: 3 };
const RDCLEANPATH = Buffer.from([2, 2, 0x0d, 0x3e]); // INTEGER 3390, its version 1
const DESTINATION = 0xa2, X224 = 0xa6, CERTIFICATES = 0xa7, ADDRESS = 0xa9;

function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function* elements(data) {
  for (let at = 0; at < data.length; ) {
    const tag = data[at];
    let size = data[at + 1];
    at += 2;
    if (size & 0x80) {
      const octets = size & 0x7f;
      size = data.readUIntBE(at, octets);
      at += octets;
    }
    yield [tag, data.subarray(at, at + size)];
    at += size;
  }
}

const first = (data) => elements(data).next().value[1];

class Gateway extends EventTarget {
  readyState = WebSocketState.CONNECTING;
  #turn = Promise.resolve(); // blobs are read asynchronously, and must stay in order
  #channel = null;

  constructor() {
    super();
    setTimeout(() => {
      this.readyState = WebSocketState.OPEN;
      this.dispatchEvent(new Event("open"));
    });
  }

  send(blob) {
    this.#turn = this.#turn.then(async () => {
      const data = Buffer.from(await new Response(blob).arrayBuffer());
      if (this.#channel) this.#channel.write(data);
      else this.#connect(data);
    });
  }

  #connect(request) {
    const fields = new Map([...elements(first(request))].map(([tag, value]) => [tag, first(value)]));
    const [host, port] = fields.get(DESTINATION).toString().split(":");
    const socket = net.connect(Number(port), host, () => socket.write(fields.get(X224)));
    this.#endsWith(socket);
    socket.once("data", (confirm) => {
      this.#channel = tls.connect({ socket, rejectUnauthorized: false }, () => {
        const certificate = der(0x04, this.#channel.getPeerCertificate().raw);
        this.#deliver(
          der(
            0x30,
            der(0xa0, RDCLEANPATH),
            der(X224, der(0x04, confirm)),
            der(CERTIFICATES, der(0x30, certificate)),
            der(ADDRESS, der(0x0c, Buffer.from(`${host}:${port}`))),
          ),
        );
      });
      this.#channel.on("data", (data) => this.#deliver(data));
      this.#endsWith(this.#channel);
    });
  }

  #deliver(data) {
    this.dispatchEvent(new MessageEvent("message", { data: new Uint8Array(data).buffer }));
  }

  #endsWith(stream) {
    let reason = "";
    stream.on("error", (error) => (reason = error.message));
    stream.on("close", () => {
      if (this.readyState === WebSocketState.CLOSED) return;
      this.readyState = WebSocketState.CLOSED;
      this.dispatchEvent(new CloseEvent("close", { code: 1000, reason, wasClean: true }));
    });
  }

  close() {
    this.#channel?.end();
  }
}

globalThis.WebSocket = Gateway;

const [folder, destination, user, domain, password] = process.argv.slice(2);
const ironrdp = await import(pathToFileURL(join(folder, "pkg", "rdp_client.js")));
await ironrdp.default({ module_or_path: await readFile(join(folder, "pkg", "rdp_client_bg.wasm")) });
ironrdp.setup("error");
const canvas = { width: 0, height: 0, getContext: () => null };
const builder = new ironrdp.SessionBuilder()
  .username(user)
  .serverDomain(domain)
  .password(password)
  .destination(destination)
  .proxyAddress("ws://gateway.invalid")
  .authToken("none")
  .desktopSize(new ironrdp.DesktopSize(800, 600))
  .renderCanvas(canvas)
  .setCursorStyleCallbackContext(null)
  .setCursorStyleCallback(() => {});
let outcome = { kind: "", text: "connected" };
try {
  await builder.connect();
} catch (error) {
  const ours = !(error instanceof ironrdp.IronError);
  outcome = ours
    ? { kind: "Error", text: String(error?.stack ?? error) }
    : { kind: ironrdp.IronErrorKind[error.kind()], text: error.backtrace() };
}
console.log(JSON.stringify(outcome));
process.exit(outcome.text === "connected" ? 0 : 1);
