// Services by npm's nats-hemera: argv has NATS' URL. Lines on standard output say what they hear; lines on standard input
// are patterns to act on, as JSON: with pubsub$ they are published, without it the answer is a line.
"use strict";
const Hemera = require("nats-hemera");
const nats = require("nats").connect({ url: process.argv[2] });
const tell = (...line) => process.stdout.write(JSON.stringify(line) + "\n");
const hemera = new Hemera(nats, { logLevel: "silent", timeout: 20000, bloomrun: { indexing: "depth" } });

class NoAccount extends Error {
  constructor(id) {
    super(`no account ${id}`);
    this.name = "NoAccount";
    this.id = id;
  }
}

hemera.ready(() => {
  hemera.add({ topic: "math", cmd: "add" }, async ({ a, b }) => ({ sum: a + b }));
  hemera.add({ topic: "math", cmd: "add", exact: true }, async ({ a, b }) => ({ sum: `${a + b}`, exact: true }));
  hemera.add({ topic: "math", cmd: "echo" }, (message, reply) => reply(null, message));
  hemera.add({ topic: "math", cmd: "nothing" }, async () => undefined);
  hemera.add({ topic: "math", cmd: "fail" }, async ({ id }) => Promise.reject(new NoAccount(id)));
  hemera.add({ topic: "math", cmd: "wait" }, () => undefined);
  hemera.add({ pubsub$: true, topic: "orders", cmd: "place" }, (message) => tell("placed", message));
  hemera.add({ pubsub$: true, topic: "room" }, (message) => tell("room", message));
  nats.flush(() => tell("ready"));
});

require("readline")
  .createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on("line", (line) => {
    const pattern = JSON.parse(line);
    hemera.act(pattern, (error, answer) => pattern.pubsub$ || tell("answer", error ? error.message : answer));
  })
  .on("close", () => process.exit(0));
