"""An agent of few lines: the real spool, in the form of the installed version, and what the agent says at its port."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from edge_agent.spool import Spool, schema
from tests.making import report
from vitalwire.box.layout import MANIFEST, Layout

INVENTED = "ALTER TABLE meta ADD COLUMN invented INTEGER DEFAULT 7"


def main() -> None:
    """ROOT PORT: until it is killed."""
    layout, port = Layout(Path(sys.argv[1])), int(sys.argv[2])
    version = layout.installed()
    form = json.loads((layout.version(version) / MANIFEST).read_text())["spool_form"]
    schema.MIGRATIONS |= dict.fromkeys(range(schema.VERSION, form), INVENTED)
    schema.VERSION = form
    is_sick = (layout.root / f"sick-{version}").exists()
    spool = Spool(layout.spool, bytes_max=10_000_000, receipt_hold_s=100)
    with (layout.root / "log").open("a") as log:
        log.write(f"{version} form {spool.version}\n")
    if (layout.root / "reports").exists():
        spool.put([report()])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_well = not is_sick or self.path == "/metrics"
            self.send_response(200 if is_well else 503)
            self.end_headers()
            figures = {"vitalwire_spool_commits": 1, "vitalwire_receipts_believed": int(not is_sick)}
            self.wfile.write("".join(f"{name} {value}.0\n" for name, value in figures.items()).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
