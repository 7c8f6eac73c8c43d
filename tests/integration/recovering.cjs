// npm's socket.io-client with connection state recovery: argv: URL, transports, query and auth as JSON. Lines on standard
// output say what happens; lines on standard input are events to emit, as JSON arrays.
"use strict";
const { io } = require("socket.io-client");
const [url, transports, query] = process.argv.slice(2);
const tell = (...line) => process.stdout.write(JSON.stringify(line) + "\n");
const pack = (value) => (Buffer.isBuffer(value) ? { b: value.toString("base64") } : value);
const socket = io(url, {
  transports: transports.split(","),
  query: JSON.parse(query),
  reconnectionDelay: 20,
  reconnectionDelayMax: 200,
});
socket.on("connect", () => tell("connect", socket.recovered));
socket.on("connect_error", (error) => error.data && tell("refused", error.data));
socket.on("disconnect", (reason) => tell("disconnect", reason));
socket.onAny((...event) => tell(...event.map(pack)));
require("readline")
  .createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on("line", (line) => socket.emit(...JSON.parse(line), (...answer) => tell("ack", ...answer)))
  .on("close", () => process.exit(0));
