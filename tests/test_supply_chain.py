"""What the catalogue is made of: pinned, hashed, listed, of known licences, and audited or said not to be."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts import audit, sbom

REQUIREMENTS = sbom.ROOT / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
ASKED = sorted(REQUIREMENTS.glob("*.in"))
COPYLEFT = re.compile(r"(?<!L)GPL|GNU General|AFFERO|SSPL|BUSL|Commons Clause|Proprietary|Commercial", re.IGNORECASE)
APART = {"peers.txt", "toucan.txt"}
"""Installed by benchmarks, each in an environment of its own that no code of ours runs in."""
each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)


@each_lock
def test_every_package_of_a_lock_is_pinned_and_hashed(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    named = [line for line in lines if not line.startswith(" ")]
    assert named
    assert all(re.match(r"[a-z0-9._-]+(\[[^]]+\])?==\S+ (; .+ )?\\$", line) for line in named)
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines if line not in named)
    assert all(package.hashes for package in sbom.read(lock.read_text()))


@each_lock
def test_a_lock_names_no_place_to_install_from(lock: Path) -> None:
    assert not re.search(r"https?:|file:|git\+|--(index|extra|find|trusted)", lock.read_text())


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_what_is_asked_for_is_in_the_lock(asked: Path) -> None:
    locked = {package.name for package in sbom.read(asked.with_suffix(".txt").read_text())}
    wanted = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?[<>=]", asked.read_text(), re.MULTILINE)
    assert wanted or "-r" in asked.read_text()
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in wanted} <= locked


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.name not in APART], ids=lambda lock: lock.name)
def test_the_locks_agree(lock: Path) -> None:
    """Some packages are there twice, for different Pythons."""
    everything = {(each.name, each.version) for each in sbom.read((REQUIREMENTS / "dev.txt").read_text())}
    assert {(each.name, each.version) for each in sbom.read(lock.read_text())} <= everything


def test_what_is_installed_comes_with_its_hash() -> None:
    shell = (sbom.ROOT / "scripts" / "env").read_text()
    installing = [line for line in shell.splitlines() if "pip install" in line]
    assert installing
    assert all("--require-hashes" in line for line in installing)


def test_the_bill_lists_every_package_and_is_valid(tmp_path: Path) -> None:
    assert sbom.main(["--to", str(tmp_path)]) == 0
    text = (tmp_path / "sbom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    locked = {
        (package.name, package.version)
        for name in sbom.LOCKS
        for package in sbom.read((REQUIREMENTS / name).read_text())
    }
    assert {(part["name"], part["version"]) for part in bill["components"]} == locked
    assert all(part["hashes"] and part["purl"].startswith("pkg:pypi/") for part in bill["components"])
    needs = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert any(part.startswith("django@") for part in needs["self"])
    django = next(part for part in needs if part.startswith("django@"))
    assert any(part.startswith("sqlparse@") for part in needs[django])


def test_every_licence_is_known_and_lets_the_catalogue_be_what_it_is() -> None:
    from importlib.metadata import PackageNotFoundError, version

    for package in sbom.packages():
        try:
            version(package.name)
        except PackageNotFoundError:  # for another platform or Python
            continue
        assert package.licence, package.name
        assert not COPYLEFT.search(package.licence), f"{package.name}: {package.licence}"


class Database(BaseHTTPRequestHandler):
    """Speaks as much of OSV's protocol as a question for one package needs, as api.osv.dev documents it."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, version = asked["package"]["name"], asked["version"]
        affected = {
            "package": {"name": name, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}],
        }
        weak = {"id": "PYSEC-2026-1", "summary": "It is weak.", "affected": [affected]}
        body = json.dumps({"vulns": [weak]} if (name, version) == ("weak", "1.0") else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def database() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def lock_of(folder: Path, *names: str) -> Path:
    lock = folder / "lock.txt"
    lock.write_text("".join(f"{name} \\\n    --hash=sha256:{'0' * 64}\n" for name in names))
    return lock


def test_a_known_weakness_is_told_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with database() as url:
        status = audit.main(["--lock", str(lock_of(tmp_path, "weak==1.0", "sound==1.0")), "--database", url])
    told = capsys.readouterr().out
    assert status == audit.KNOWN
    assert "weak 1.0: PYSEC-2026-1, mended in 9.9" in told
    assert "2 packages of lock.txt, 1 with a known weakness" in told


def test_none_known_is_told_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with database() as url:
        status = audit.main(["--lock", str(lock_of(tmp_path, "sound==1.0")), "--database", url])
    assert (status, "1 packages of lock.txt, 0 with" in capsys.readouterr().out) == (audit.NONE_KNOWN, True)


@pytest.mark.parametrize(("url", "seconds"), [("http://127.0.0.1:1/v1/query", "60"), ("http://127.0.0.1:1/", "0.01")])
def test_a_database_that_cannot_be_asked_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, seconds: str
) -> None:
    lock = lock_of(tmp_path, "sound==1.0")
    status = audit.main(["--lock", str(lock), "--database", url, "--seconds", seconds])
    told = capsys.readouterr().out
    assert status == audit.NOT_ASKED
    assert "pip-audit: NOT DONE." in told
    assert "Nothing was audited" in told


def test_the_check_says_what_was_not_done() -> None:
    shell = (sbom.ROOT / "scripts" / "check").read_text()
    assert "-m scripts.audit" in shell
    assert "NOT DONE" in shell
