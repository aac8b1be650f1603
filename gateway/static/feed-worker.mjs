// One stream a browser, however many of its pages show the ward. For who comes it begins anew: all get the whole again.
const SILENT_MS = 150_000;  // a page in the background speaks once a minute
const pages = new Map();  // when each was heard last, by its port
let source = null;

onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    pages.set(port, Date.now());
    if (data === "open") open();
    if (data === "close") leave(port);
  };
};

function open() {
  source?.close();
  source = new EventSource("/events");
  for (const kind of ["hello", "beat", "message", "signed-out"]) {
    source.addEventListener(kind, ({ data }) => tell(kind, data));
  }
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) tell("closed", ""); });
}

function tell(kind, data) {
  for (const [port, heardMs] of pages) {
    if (Date.now() - heardMs > SILENT_MS) leave(port);
    else port.postMessage({ kind, data });
  }
}

function leave(port) {
  pages.delete(port);
  if (pages.size) return;
  source?.close();
  source = null;
}
