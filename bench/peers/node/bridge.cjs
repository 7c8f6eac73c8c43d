// A bridge between NATS and Socket.IO clients as one writes it with Node: emit to everybody.
const path = require("node:path");
const http = require("node:http");
const { createRequire } = require("node:module");
const load = createRequire(path.join(process.env.BRIDGE_MODULES, "package.json"));
const { Server } = load("socket.io");
const { connect, StringCodec } = load("nats");

async function main() {
  const nats = await connect({ servers: process.env.BRIDGE_NATS });
  const codec = StringCodec();
  const server = http.createServer();
  const io = new Server(server);
  io.on("connection", (socket) => {
    socket.on("OUT", (data, ack) => {
      nats.publish("OUT", codec.encode(data));
      if (typeof ack === "function") ack(true);
    });
  });
  nats.subscribe("IN", {
    callback: (error, message) => {
      if (!error) io.emit("IN", codec.decode(message.data));
    },
  });
  await nats.flush();
  server.listen(Number(process.env.BRIDGE_PORT), "127.0.0.1");
}

main();
