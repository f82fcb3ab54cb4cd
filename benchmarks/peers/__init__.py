"""Peers, each in an interpreter of its own, where scripts/bench could make one for it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog_project.demo.server import Server

FOLDER = Path(__file__).resolve().parent.parent.parent / "var" / "bench"
ENVIRONMENTS = {"ibis": "peers", "adbc": "peers", "toucan": "toucan"}
NAMES = {"ibis": "ibis (Wren's path)", "adbc": "ADBC to Arrow, warm", "toucan": "toucan-connectors"}


@dataclass(frozen=True)
class Peer:
    name: str
    process: subprocess.Popen[str]

    def read(self, query: str) -> int:
        """Have the peer read ``query``; the bytes of what it made. Raises ``RuntimeError`` when it has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(query, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended.")
        return int(json.loads(answer)["bytes"])


@contextlib.contextmanager
def started(source: Server, ca: str | None, wanted: Sequence[str]) -> Iterator[list[Peer]]:
    """The ``wanted`` peers that there is an environment for, logged in to ``source``. Says which are missing."""
    found = []
    with contextlib.ExitStack() as stack:
        for name in wanted:
            python = FOLDER / ENVIRONMENTS[name] / "bin" / "python"
            if not python.exists():
                print(f"{NAMES[name]} is left out: there is no {python.relative_to(FOLDER.parent.parent)}.")
                continue
            command = [str(python), str(Path(__file__).with_name("serve.py")), name]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
            assert process.stdin is not None
            print(json.dumps(source.login() | {"ca": ca}), file=process.stdin, flush=True)
            found.append(Peer(NAMES[name], process))
        yield found
