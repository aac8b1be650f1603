"""Two simulated EMRs, one for each protocol, and the task that delivers to them, killed at any line of its files."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.faults.system import ROOT

STOP_S = 20
EMRS = """\
import asyncio, sys
from simulators.emr import EmrPlan, running_emr
async def main():
    async with running_emr(EmrPlan()) as fhir, running_emr(EmrPlan()) as hl7:
        print(fhir.fhir_url, fhir.page_url, "{}:{}".format(*hl7.mllp_address), hl7.page_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""
# Forks a task a line, so that it is imported once. The number says at which line of those that it executes in the files
# of delivery, it is killed; 0: at none.
NURSERY = """\
import asyncio, ctypes, os, pathlib, signal, sys, threading
from runtime import config as configuration
from stream_processors.config import ProcessorsConfig
from stream_processors.destinations import background_tasks
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
config = configuration.load(pathlib.Path(sys.argv[1]), ProcessorsConfig)
left = 0
def call(frame, event, arg):
    return line if "deliver" in frame.f_code.co_filename else None
def line(frame, event, arg):
    global left
    left -= event == "line"
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return line
async def deliver():
    await asyncio.gather(*background_tasks(config.database, config.destination))
for asked in sys.stdin:
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        left = int(asked)
        if left:
            threading.settrace(call)
            sys.settrace(call)
        asyncio.run(deliver())
        os._exit(0)
    print(pid, file=answers, flush=True)
"""
CONFIG = """\
database = "{database}"
[[destination]]
name = "fhir"
protocol = "fhir"
address = "{fhir}"
timeout_s = {timeout_s}
begins = "2020-01-01T00:00Z"
[[destination]]
name = "hl7"
protocol = "hl7v2"
address = "{mllp}"
timeout_s = {timeout_s}
begins = "2020-01-01T00:00Z"
"""


class Emrs:
    """They run, and nothing is delivered yet."""

    def __init__(self, folder: Path, database: str, timeout_s: float) -> None:
        self.folder, self.database, self.timeout_s = folder, database, timeout_s
        self._task = 0

    def __enter__(self) -> Self:
        self._emrs = self._run(["-c", EMRS], "emr.log")
        assert self._emrs.stdout is not None
        self.fhir, self.fhir_page, self.mllp, self.hl7_page = self._emrs.stdout.readline().split()
        config = self.folder / "processors.toml"
        config.write_text(CONFIG.format(
            database=self.database, fhir=self.fhir, mllp=self.mllp, timeout_s=self.timeout_s
        ))  # fmt: skip
        self._nursery = self._run(["-c", NURSERY, str(config)], "deliver.log")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for process in (self._nursery, self._emrs):
            process.communicate(timeout=STOP_S)

    def _run(self, words: list[str], log: str) -> subprocess.Popen[str]:
        with (self.folder / log).open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, text=True, bufsize=1, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def set_faults(self, fhir: str, hl7: str) -> None:
        """Of each, as simulators/emr_faults.py has them."""
        for page, words in ((self.fhir_page, fhir), (self.hl7_page, hl7)):
            with urlopen(Request(f"{page}/faults", words.encode(), method="PUT"), timeout=STOP_S) as answer:
                assert answer.status == 200

    def happened(self, page: str) -> dict[str, int]:
        """How often each fault came about."""
        with urlopen(f"{page}/faults", timeout=STOP_S) as answer:
            found: dict[str, int] = json.load(answer)["happened"]
        return found

    def results(self, page: str) -> list[dict[str, Any]]:
        """Every row with its versions."""
        with urlopen(f"{page}/table", timeout=STOP_S) as answer:
            found: list[dict[str, Any]] = json.load(answer)["results"]
        return found

    def start(self, killed_at_line: int = 0) -> None:
        """Deliver; it is killed at that line of those that it executes, 0: at none."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{killed_at_line}\n")
        self._task = int(self._nursery.stdout.readline())

    def ended(self, limit_s: float) -> bool:
        """Wait for so long; whether it was killed."""
        try:
            ending = os.pidfd_open(self._task)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([ending], [], [], limit_s)[0])
        finally:
            os.close(ending)

    def kill(self) -> None:
        """SIGKILL, where it runs still."""
        if self._task and not self.ended(0):
            os.kill(self._task, signal.SIGKILL)
            assert self.ended(STOP_S)
        self._task = 0
