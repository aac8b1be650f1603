"""Where things lie on a box, below its root."""

from __future__ import annotations

import json
import pwd
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.config import EdgeConfig
from edge_agent.spool.schema import HOLD_MARK
from runtime.errors import UserError

UNIT = "vitalwire-edge.service"
DOWNTIME_UNIT = "vitalwire-downtime.service"  # put there, and started by a person
USER = "vitalwire"
SERIAL_GROUP = "dialout"
MANIFEST = "manifest.json"  # in a version's folder, written last: the version is whole
_VERSION_OFFSET = 60  # of user_version in the header of an SQLite file, four bytes: https://sqlite.org/fileformat.html


@dataclass(frozen=True)
class Layout:
    """Of the machine that runs this, or of another root that is mounted here."""

    root: Path = Path("/")

    @property
    def programs(self) -> Path:
        """A folder for each version."""
        return self.root / "opt" / "vitalwire"

    @property
    def current(self) -> Path:
        """The link to the version that runs."""
        return self.programs / "current"

    @property
    def settings(self) -> Path:
        """The configuration and the keys."""
        return self.root / "etc" / "vitalwire"

    @property
    def config(self) -> Path:
        """The agent's."""
        return self.settings / "edge.toml"

    @property
    def key(self) -> Path:
        """The box's own, which never leaves it."""
        return self.settings / "edge.key"

    @property
    def release_key(self) -> Path:
        """Whose bundles are believed here."""
        return self.settings / "release.pub"

    @property
    def state(self) -> Path:
        """What the agent may write."""
        return self.root / "var" / "lib" / "vitalwire"

    @property
    def unit(self) -> Path:
        """systemd's."""
        return self.unit_named(UNIT)

    def unit_named(self, name: str) -> Path:
        """A unit of ours, by its name."""
        return self.root / "etc" / "systemd" / "system" / name

    @property
    def spool(self) -> Path:
        """As the configuration says, or where it is to lie."""
        named = Path(str(self.configured().get("spool", self.state / "spool")))
        inside = named if named.is_absolute() else self.settings / named
        return inside if inside.is_relative_to(self.root) else self.root / inside.relative_to("/")

    @property
    def hold_mark(self) -> Path:
        """There while an upgrade is not known to be well."""
        return self.spool / HOLD_MARK

    def version(self, version: str) -> Path:
        """The folder of a version's program."""
        return self.programs / version

    def seen_from_inside(self, path: Path) -> Path:
        """A path as programs name it that run in this root."""
        return Path("/") / path.relative_to(self.root)

    def configured(self) -> dict[str, Any]:
        """The top of edge.toml; empty where there is none. Raises UserError."""
        try:
            return tomllib.loads(self.config.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UserError(f"{self.config} cannot be read: {error}; mend it, then run this again") from None

    @property
    def metrics_port(self) -> int:
        """Where the agent says how it is; 0: nowhere."""
        by_name = {field.name: field.default for field in msgspec.structs.fields(EdgeConfig)}
        return int(self.configured().get("metrics_port", by_name["metrics_port"]))

    def installed(self) -> str:
        """The version that `current` names; "" for none."""
        return self.current.readlink().name if self.current.is_symlink() else ""

    def is_whole(self, version: str) -> bool:
        """Whether this version was installed to its end."""
        return (self.version(version) / MANIFEST).is_file()

    def held(self) -> dict[str, Any]:
        """What an upgrade that was not finished wrote down of itself; empty: there is none."""
        try:
            found = json.loads(self.hold_mark.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def spool_form(self) -> int:
        """The form of the spool that lies here; 0: there is none. Raises UserError.

        While an agent has the file its header may lag behind: then it is at least what the installed version writes,
        or what an upgrade holds it in.
        """
        file = self.spool / "spool.db"
        if not file.is_file():
            return 0
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=0)) as db:
                return int(db.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.OperationalError:
            with file.open("rb") as opened:
                opened.seek(_VERSION_OFFSET)
                in_file = int.from_bytes(opened.read(4))
            held = self.held()
            return max(in_file, int(held.get("spool_form", 0)) if held else self._form_of_installed())
        except sqlite3.Error as error:
            raise UserError(f"the spool {file} cannot be read: {error}; `vitalwire edge check` says more") from None

    def _form_of_installed(self) -> int:
        try:
            manifest = json.loads((self.version(self.installed()) / MANIFEST).read_text("utf-8"))
            return int(manifest["spool_form"])
        except (OSError, ValueError, KeyError):
            return 0

    def user(self) -> tuple[int, int] | None:
        """The ids of the box's user in this root; None: there is none."""
        if self.root == Path("/"):
            try:
                entry = pwd.getpwnam(USER)
            except KeyError:
                return None
            return entry.pw_uid, entry.pw_gid
        try:
            lines = (self.root / "etc" / "passwd").read_text("utf-8").splitlines()
        except OSError:
            return None
        for line in lines:
            name, _, uid, gid, *_ = [*line.split(":"), "", "", "", ""]
            if name == USER:
                return int(uid), int(gid)
        return None
