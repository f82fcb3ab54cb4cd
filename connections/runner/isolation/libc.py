"""The C library, and its errors as ``OSError``."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Final

LINUX: Final = sys.platform == "linux"
_libc: Final = ctypes.CDLL(None, use_errno=True) if LINUX else None
if _libc is not None:
    _libc.syscall.restype = ctypes.c_long


def call(function: str, *arguments: Any) -> int:
    """What ``function`` of the C library answers. Raises ``OSError`` when it fails."""
    if _libc is None:
        raise NotImplementedError(f"{function} is called on Linux only.")
    answer: int = getattr(_libc, function)(*arguments)
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return answer


def syscall(number: int, *arguments: Any) -> int:
    """A system call by its number; integers are passed as ``long``. Raises ``OSError`` when it fails."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return call("syscall", ctypes.c_long(number), *wide)


def prctl(option: int, *values: Any) -> bool:
    """True once the option is set; False where there is no prctl. Raises ``OSError`` when it is refused."""
    if _libc is None:
        return False
    wide = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in values]
    wide += [ctypes.c_ulong(0)] * (4 - len(wide))
    call("prctl", option, *wide)
    return True
