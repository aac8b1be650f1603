// Where the pictures come from: a worker that all pages of a browser share, else a stream of this page's own.
const HERE_EVERY_MS = 30_000;
let port = null, fails = !("SharedWorker" in window), current = null;

export const openSource = () => fails ? new EventSource("/events") : new SharedSource();

// As an EventSource, as far as a page asks one.
class SharedSource extends EventTarget {
  constructor() {
    super();
    this.readyState = EventSource.OPEN;
    current = this;
    port ??= openPort();
    port.postMessage("open");
  }

  close() {
    if (this.readyState === EventSource.CLOSED) return;
    this.readyState = EventSource.CLOSED;
    if (current === this) port.postMessage("close");
  }

  take({ kind, data }) {
    if (kind === "closed") this.readyState = EventSource.CLOSED;
    else this.dispatchEvent(new MessageEvent(kind, { data }));
  }
}

function openPort() {
  const worker = new SharedWorker(new URL("feed-worker.mjs", import.meta.url));
  worker.addEventListener("error", () => {
    fails = true;
    if (current) current.readyState = EventSource.CLOSED;
  });
  worker.port.onmessage = ({ data }) => current?.take(data);
  setInterval(() => { if (current?.readyState === EventSource.OPEN) worker.port.postMessage("here"); }, HERE_EVERY_MS);
  addEventListener("pagehide", () => current?.close());
  return worker.port;
}
