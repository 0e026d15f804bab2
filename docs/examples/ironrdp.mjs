// Logs on with IronRDP's web client: node ironrdp.mjs FOLDER HOST:PORT USER DOMAIN PASSWORD
//
// FOLDER is the npm package ironrdp-wasm. Prints {"kind": ..., "text": ..., "in": ..., "screen": ...}: the kind of the
// error, or an empty string; how the login or the session ended, in IronRDP's words; whether it went on after CredSSP; and
// the colours of its screen, with the number of pixels of each. Exit code 0 if there was a session that ended in order,
// else 1.
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
const TPKT = 3; // how a PDU of RDP begins; CredSSP's messages are SEQUENCEs
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

let loggedOn = false;

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
      if (this.#channel) {
        loggedOn ||= data[0] === TPKT;
        this.#channel.write(data);
      } else this.#connect(data);
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
const size = { width: 800, height: 600 };
const screen = Buffer.alloc(4 * size.width * size.height);
globalThis.ImageData = class {
  constructor(data, width) {
    Object.assign(this, { data: Buffer.from(data), width });
  }
};
globalThis.CanvasRenderingContext2D = class {
  putImageData({ data, width }, left, top) {
    if (width !== size.width || left !== 0) throw new Error("expected whole rows");
    data.copy(screen, 4 * size.width * top);
  }
};

function colors() {
  const found = {};
  for (let at = 0; at < screen.length; at += 4) {
    const color = screen.toString("hex", at, at + 3);
    found[color] = (found[color] ?? 0) + 1;
  }
  return found;
}

const canvas = { width: 0, height: 0, getContext: () => new CanvasRenderingContext2D() };
const builder = new ironrdp.SessionBuilder()
  .username(user)
  .serverDomain(domain)
  .password(password)
  .destination(destination)
  .proxyAddress("ws://gateway.invalid")
  .authToken("none")
  .desktopSize(new ironrdp.DesktopSize(size.width, size.height))
  .renderCanvas(canvas)
  .setCursorStyleCallbackContext(null)
  .setCursorStyleCallback(() => {});
let outcome;
try {
  const session = await builder.connect();
  outcome = { kind: "", text: (await session.run()).reason() };
} catch (error) {
  const ours = !(error instanceof ironrdp.IronError);
  outcome = ours
    ? { kind: "Error", text: String(error?.stack ?? error) }
    : { kind: ironrdp.IronErrorKind[error.kind()], text: error.backtrace() };
}
console.log(JSON.stringify({ ...outcome, in: loggedOn, screen: colors() }));
process.exit(outcome.kind === "" ? 0 : 1);
