"""What a worker may read: the interpreter, its modules, the libraries, and what the class of its sources needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_SYSTEM: Final = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/etc/mime.types",  # the mimetypes module opens it if it exists, and XLSX readers import that
    "/dev/null",
    "/dev/urandom",
    # Of itself what allocators, DuckDB and the C library look at, and not what is in net: the connections of the host.
    *(f"/proc/self/{name}" for name in ("auxv", "cgroup", "fd", "maps", "mem", "mountinfo", "stat", "statm", "status")),
    "/proc/sys/vm/overcommit_memory",  # jemalloc, in DuckDB: unread, it takes far more ahead, and crashes without
)
_NETWORK: Final = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ssl/certs",  # not /etc/ssl: it holds private keys, too
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
)
_LOCAL: Final = ("/sys/fs/cgroup",)  # DuckDB looks for the limit on memory there, and aborts when it may not
_MODULE_SUFFIXES: Final = (".py", ".so", ".pth", ".zip")
_PACKAGE_SUFFIXES: Final = (".dist-info", ".egg-info", ".libs")


@cache
def of_interpreter() -> tuple[str, ...]:
    """Interpreter, modules, libraries and devices."""
    own = [str(Path(prefix, name)) for prefix in (sys.prefix, sys.base_prefix) for name in ("lib", "lib64")]
    executable = [os.path.realpath(sys.executable)] if sys.executable else []
    extra = [path for entry in sys.path if not _within(entry, own) for path in _modules(Path(entry))]
    return tuple(dict.fromkeys([*own, *executable, *_SYSTEM, *extra]))


def of_class(*, network: bool) -> tuple[str, ...]:
    """With the network, what resolving names and verifying certificates reads; without, what DuckDB looks at."""
    return _NETWORK if network else _LOCAL


def _modules(entry: Path) -> Iterator[str]:
    """What can be imported from a folder of the module path.

    A folder of modules is given whole. A checkout is not: what lies beside its packages may be the catalogue's
    database, its keys, or the files of other organisations.
    """
    try:
        found = sorted(entry.iterdir())
    except NotADirectoryError:
        yield str(entry)
        return
    except OSError:
        return
    importable = [each for each in found if _importable(each)]
    if entry.name in ("site-packages", "dist-packages") or importable == found:
        yield str(entry)
    else:
        yield from map(str, importable)


def _importable(path: Path) -> bool:
    if os.path.isdir(path):
        marked = os.path.exists(path / "__init__.py")  # false, too, for a folder that this user may not enter
        return marked or path.name == "__pycache__" or path.suffix in _PACKAGE_SUFFIXES
    return path.suffix in _MODULE_SUFFIXES


def _within(entry: str, folders: list[str]) -> bool:
    return any(Path(entry).is_relative_to(folder) for folder in folders)
