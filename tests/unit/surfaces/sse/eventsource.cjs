// node eventsource.cjs URL: a stock EventSource on URL. Prints a JSON line for all that it hears: open, events by their
// types, errors (with whether it gave up). Ends when it gives up, or is told "end".
const { EventSource } = require("eventsource");
const source = new EventSource(process.argv[2]);

function say(...what) { console.log(JSON.stringify(what)); }

source.onopen = () => say("open");
source.onerror = () => {
  const over = source.readyState === EventSource.CLOSED;
  say("error", over);
  if (over) process.exit(0);
};
for (const type of ["message", "binary", "wsgw:error"]) {
  source.addEventListener(type, (event) => {
    say(type, event.data);
    if (event.data !== "end") return;
    source.close();
    process.exit(0);
  });
}
