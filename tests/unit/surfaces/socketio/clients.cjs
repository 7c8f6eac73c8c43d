// node clients.cjs URL TRANSPORTS CLIENTS EVENTS OPTIONS: stock clients, all at once. Each emits EVENTS numbered events with
// acks as fast as it can from the moment it is connected, then "finished"; and keeps the numbered messages it gets on
// IN until "end". Prints one JSON line per client: its final transport, whether all acks came in order, what it got.
const { io } = require("socket.io-client");
const [url, transports, clients, events, options] = process.argv.slice(2);
const address = new URL(url);
let open = Number(clients);

function start(id) {
  const socket = io(address.origin, {
    path: address.pathname, transports: transports.split(","), forceNew: true, reconnection: false,
    auth: { token: id }, query: { id }, ...JSON.parse(options),
  });
  const got = [];
  let acked = 0, emitted = 0, ordered = true, reason = null;
  const expected = transports.split(",").pop();
  const finish = () => {
    if (acked === Number(events) && socket.io.engine.transport.name === expected) socket.emit("finished", id);
  };
  const emit = () => {
    const i = emitted++;
    const payload = i % 5 === 4 ? Buffer.from(String(i)) : i % 5 === 3 ? { i } : String(i);
    socket.emit(`n${id}`, payload, (answer) => {
      ordered &&= answer === true && acked === i;
      acked++;
      finish();
    });
    if (emitted < Number(events)) (i % 10 ? setImmediate : process.nextTick)(emit);
  };
  socket.on("connect", () => {
    socket.io.engine.on("upgrade", finish);
    emit();
  });
  socket.on("IN", (data) => {
    if (data !== "end") return got.push(Number(Buffer.isBuffer(data) ? data.subarray(1) : data));
    const transport = socket.io.engine.transport.name;
    socket.disconnect();
    console.log(JSON.stringify({ id, transport, ordered, acked, got, reason }));
    if (--open === 0) setTimeout(() => process.exit(0), 50);
  });
  socket.on("connect_error", (error) => { console.error(error); process.exit(1); });
  socket.on("disconnect", (why, details) => {
    if (why !== "io client disconnect") { console.error(why, details); process.exit(1); }
  });
}
for (let id = 0; id < Number(clients); id++) start(id);
