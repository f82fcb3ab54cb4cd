"""Serve the catalogue with its demo: PostgreSQL with the flights, migrations, the demo's rows, the web server.

Ctrl-C or SIGTERM stops all of it. Run it with ``make run``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from catalog_project.demo import kept, server
from catalog_project.demo.server import ServerError
from scripts import keys

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var"
START_TIMEOUT = 60  # seconds until the web server answers


class Stopped(Exception):
    """A signal asked this process to end."""


def main() -> int:
    arguments = _arguments()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _stop)
    _set_environment(arguments.host)
    if not server.port_is_free(arguments.port, arguments.host):
        print(
            f"Port {arguments.port} of {arguments.host} is in use. Run: make run PORT={arguments.port + 1}",
            file=sys.stderr,
        )
        return 1
    try:
        _serve(arguments.host, arguments.port)
    except Stopped:
        return 0
    except (ServerError, subprocess.CalledProcessError) as error:
        print(f"The catalogue could not start. {error}", file=sys.stderr)
        return 1
    return 1


def _serve(host: str, port: int) -> NoReturn:
    """Start everything, wait, and stop everything. Raises Stopped when a signal came."""
    url = f"http://{_in_url(host)}:{port}"
    print("Starting the demo's PostgreSQL", flush=True)
    postgresql = kept.start(VAR)
    try:
        _manage("migrate", "--verbosity", "0")
        print("Preparing the demo", flush=True)
        _manage("demo", "--url", url)
        web = _start_web_server(host, port)
        try:
            _wait_until_it_answers(f"{url}/healthz", web)
            print(welcome(json.loads((VAR / "demo.json").read_text()), url), flush=True)
            status = web.wait()
        finally:
            _stop_group(web)
        raise ServerError(f"The web server ended with status {status}.")
    finally:
        postgresql.stop()


def welcome(demo: dict[str, Any], url: str) -> str:
    """Return what a newcomer does next: where to log in, and a command that previews real rows."""
    administrator = next(user for user in demo["users"] if (user["org"], user["role"]) == ("acme", "admin"))
    query = json.dumps({"query": {"sql": "select * from flights"}, "limit": 5})
    return f"""
The catalogue is at {url}/admin/
  user      {administrator["username"]}
  password  {administrator["password"]}
All users and keys are in var/demo.json. Preview flights from PostgreSQL:

curl -sS {url}/api/v1/orgs/acme/connections/flights-postgres/preview/ \\
  -H 'Authorization: Bearer {demo["orgs"]["acme"]["api_keys"]["analyst"]}' \\
  -H 'Content-Type: application/json' -d '{query}'

Ctrl-C stops it.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve the catalogue with its demo.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    return parser.parse_args()


def _set_environment(host: str) -> None:
    """Set the development settings; a variable that is set already wins."""
    settings = keys.ensure(VAR)
    settings["CATALOG_ALLOWED_HOSTS"] += f",{host}"
    os.environ.update({name: value for name, value in settings.items() if name not in os.environ})
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "catalog_project.settings")


def _manage(*arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, check=True)


def _start_web_server(host: str, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", "32", "--no-ws", "--http", "1"]
    command += ["--log-level", "error"]
    # A session of its own: a Ctrl-C in the terminal is for this process, which stops the others in order.
    return subprocess.Popen(
        [*command, "catalog_project.wsgi:application"],
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=server.tie_to_parent(signal.SIGTERM),
    )


def _wait_until_it_answers(url: str, web: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while web.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (our own address)
                return
        except urllib.error.HTTPError as error:
            raise ServerError(f"{url} answered {error.code}.") from error
        except OSError:
            if time.monotonic() > deadline:
                raise ServerError(f"{url} did not answer within {START_TIMEOUT} s.") from None
        time.sleep(0.1)


def _stop_group(web: subprocess.Popen[bytes]) -> None:
    """Let the web server finish its answers, then end whatever is left of its process group."""
    server.stop(web, 10, signal.SIGTERM)
    try:
        os.killpg(web.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _in_url(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 (where it listens is the caller's choice)
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)  # stopping goes on to its end
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
