"""The health of a container of ours: READY PORT... ends with 0 if /readyz of each says that data flows."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request


def main() -> None:
    """Say why not, in one line, which `docker inspect` shows."""
    for port in sys.argv[1:]:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{int(port)}/readyz", timeout=3).close()
        except urllib.error.HTTPError as error:
            sys.exit(f"{port}: {error.read().decode()}")
        except OSError as error:
            sys.exit(f"{port}: {error}")


if __name__ == "__main__":
    main()
