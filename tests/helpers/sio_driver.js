// npm's socket.io-client, driven by JSON lines: commands on standard input, what happens on standard output.
// argv[2]: the folder that has node_modules. Binary is {"b": BASE64} in both directions.
"use strict";
const { createRequire } = require("module");
const { io } = createRequire(process.argv[2] + "/")("socket.io-client");
const sockets = new Map();
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const pack = (value) => (Buffer.isBuffer(value) ? { b: value.toString("base64") } : value);
const unpack = (value) => (value !== null && typeof value === "object" && "b" in value ? Buffer.from(value.b, "base64") : value);

const commands = {
  open({ id, url, transports, query }) {
    const socket = io(url, { transports, query, reconnection: false, forceNew: true });
    sockets.set(id, socket);
    socket.on("connect", () => {
      const engine = socket.io.engine;
      tell({ on: "connect", id, transport: engine.transport.name });
      engine.on("upgrade", (transport) => tell({ on: "upgrade", id, transport: transport.name }));
      if (engine.transport.name !== transports[0]) tell({ on: "upgrade", id, transport: engine.transport.name });
    });
    socket.on("connect_error", (error) => tell({ on: "refused", id, message: error.message, data: error.data ?? null }));
    socket.on("disconnect", (reason) => tell({ on: "disconnect", id, reason }));
    socket.onAny((event, ...args) => tell({ on: "event", id, event, args: args.map(pack) }));
  },
  emit({ id, n, event, args }) {
    sockets.get(id).emit(event, ...args.map(unpack), (...answer) => tell({ on: "ack", id, n, args: answer.map(pack) }));
  },
  close({ id }) {
    sockets.get(id).disconnect();
    tell({ on: "closed", id });
  },
};

require("readline")
  .createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.op](command);
  })
  .on("close", () => process.exit(0));
