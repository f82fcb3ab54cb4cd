"""The attacks. Each yields what it tried and what came of it: an error's text, or ``got`` and something.

They are made to be harmless where they are not contained: nothing is changed but files of the test's own, signals are
questions, and a child ends at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Given = dict[str, Any]
Deeds = Iterator[tuple[str, str]]

LIBC = ctypes.CDLL(None, use_errno=True)
FIRST = 2**20


def tried(deed: Callable[..., Any], *arguments: Any) -> str:
    try:
        return f"got {deed(*arguments)!r}"
    except Exception as exc:  # noqa: BLE001  whatever stops it
        return f"{type(exc).__name__} {exc}"


def native(function: str, *arguments: Any) -> str:
    """A call of the C library, past all that Python could watch."""
    answer = getattr(LIBC, function)(*arguments)
    number = ctypes.get_errno()
    return f"got {answer}" if answer >= 0 else f"OSError {os.strerror(number)}"


def peaceful(given: Given) -> Deeds:
    yield "peace", "got it"


def files(given: Given) -> Deeds:
    """Read what is named, whole processes among it, and say whether the word looked for is there."""
    word = given["word"].encode()
    for path in given["paths"]:
        path = path.replace("PPID", str(os.getppid()))
        yield path, tried(_holds, path, word)
        yield f"list {path}", tried(os.listdir, Path(path).parent)
        link = f"link-{len(path)}"
        yield f"link {path}", tried(_linked, path, link, word)


def _linked(path: str, link: str, word: bytes) -> Any:
    os.symlink(path, link)
    return _holds(link, word)


def changes(given: Given) -> Deeds:
    for path in given["paths"]:
        yield f"mode {path}", tried(os.chmod, path, 0o777)
        yield f"owner {path}", tried(os.chown, path, os.getuid(), os.getgid())
        yield f"time {path}", tried(os.utime, path)
        yield f"write {path}", tried(_write, path)
        yield f"beside {path}", tried(_write, f"{path}.new")
        yield f"cut {path}", tried(os.truncate, path, 0)
        yield f"rename {path}", tried(os.rename, path, "mine")
        yield f"hard link {path}", tried(os.link, path, "mine")
        yield f"remove {path}", tried(os.unlink, path)
        yield f"flags {path}", tried(_set_flags, path)
        yield f"lease {path}", tried(_with_descriptor, path, lambda file: fcntl.fcntl(file, fcntl.F_SETLEASE, 0))
        yield f"watch {path}", tried(_with_descriptor, Path(path).parent, _watch)
    yield "everything to disk", native("syncfs", os.open(os.__file__, os.O_RDONLY))


def processes(given: Given) -> Deeds:
    """Environment, memory and arguments of every process there is."""
    word = given["word"].encode()
    for pid in given["pids"]:
        for part in ("environ", "mem", "maps", "cmdline", "fd", "root", "cwd"):
            yield f"{part} {pid}", tried(_holds, f"/proc/{pid}/{part}", word)
        yield f"trace {pid}", native("ptrace", 16, pid, None, None)
        buffer = ctypes.create_string_buffer(8)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
        yield f"peek {pid}", native("process_vm_readv", pid, vector, 1, vector, 1, 0)
        yield f"limit {pid}", tried(resource.prlimit, pid, resource.RLIMIT_NOFILE, (1, 1))
        yield f"slow {pid}", tried(os.setpriority, os.PRIO_PROCESS, pid, 19)
        yield f"open {pid}", tried(os.pidfd_open, pid)
        for number in (0, signal.SIGCONT):
            yield f"signal {number} {pid}", tried(os.kill, pid, number)
            yield f"queue {number} {pid}", native("sigqueue", pid, number, None)
    for group in (-1, 0):
        yield f"signal {group}", tried(os.kill, group, 0)


def surroundings(given: Given) -> Deeds:
    """The environment as Python and as the C library have it, and where drivers look for files of their own."""
    for name, value in os.environ.items():
        yield f"variable {name}", value
    variables = ctypes.POINTER(ctypes.c_char_p).in_dll(LIBC, "environ")
    for number, content in enumerate(itertools.takewhile(bool, map(variables.__getitem__, itertools.count()))):
        yield f"native {number}", content.decode()
    yield "home", str(Path.home())
    yield "here", str(Path.cwd())


def memory(given: Given) -> Deeds:
    """Look for a word in all that this process has: what it was forked from had better not know it."""
    word = bytes(reversed(given["drow"].encode()))  # never whole in what was sent here
    found = 0
    try:
        pages = open("/proc/self/mem", "rb")  # noqa: SIM115
    except PermissionError as exc:
        yield "memory", type(exc).__name__
        return
    with open("/proc/self/maps") as maps, pages as content:
        for line in maps:
            first, last = (int(each, 16) for each in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or "[v" in line:
                continue
            for at in range(first, last, FIRST):
                try:
                    content.seek(at)
                    part = content.read(min(FIRST, last - at))
                except (OSError, ValueError, OverflowError):
                    break
                found += part.count(word)
    yield "memory", f"got {found - 1}"  # one is ``word`` itself


def forked() -> int:
    """Fork past Python; the child ends at once."""
    child = LIBC.fork()
    if child == 0:
        os._exit(0)
    return child


def start(given: Given) -> Deeds:
    """Processes, programs, sessions."""
    yield "fork", tried(lambda: os.fork() or os._exit(0))
    yield "native fork", f"got {child}" if (child := forked()) >= 0 else "refused"
    yield "spawn", tried(lambda: os.posix_spawn("/bin/sh", ["sh"], {}))
    yield "shell", tried(lambda: subprocess.run(["/bin/sh", "-c", "id"], start_new_session=True))
    yield "exec", tried(lambda: os.execv("/bin/sh", ["sh"]))
    yield "python", tried(lambda: os.execv(sys.executable, ["python"]))
    yield "session", tried(os.setsid)
    yield "namespace", native("unshare", 0x10000000)
    yield "mount", native("mount", b"none", b".", b"tmpfs", 0, None)
    yield "root", tried(lambda: os.chroot("."))
    yield "user", tried(lambda: os.setuid(65534))
    yield "trace me", native("ptrace", 0, 0, None, None)
    yield "dumpable", native("prctl", 4, 1, 0, 0, 0)
    yield "outlive", native("prctl", 1, 0, 0, 0, 0)
    yield "bpf", native("syscall", 321, 0, None, 0)
    yield "ring", native("syscall", 425, 8, ctypes.create_string_buffer(120))
    yield "keys", native("syscall", 250, 0, -3, 0)
    yield "more memory", tried(lambda: resource.setrlimit(resource.RLIMIT_DATA, (2**40, 2**40)))
    yield "shared memory", tried(lambda: mmap.mmap(-1, 2**30))
    yield "memory file", tried(lambda: os.memfd_create("x"))
    yield "segment", native("shmget", 0, 2**20, 0o1600)


def bomb(given: Given) -> Deeds:
    """Fork and start threads for as long as anything lets one."""
    stop = threading.Event()
    threading.stack_size(64 * 1024)
    yield "forks", f"got {sum(forked() > 0 for _ in range(given['most']))}"
    begun = 0
    try:
        while begun < given["most"]:
            threading.Thread(target=stop.wait, daemon=True).start()
            begun += 1
    except (RuntimeError, MemoryError):
        pass
    stop.set()
    yield "threads", f"got {begun}"


def crowd(given: Given) -> Deeds:
    """Threads past Python, with so little of a stack that no limit on memory ends it; they stay. Then wait."""
    size = 1024
    stacks = mmap.mmap(-1, size * given["most"], flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    KEPT.append(stacks)
    top = ctypes.addressof(ctypes.c_char.from_buffer(stacks))
    wait = ctypes.cast(LIBC.pause, ctypes.c_void_p)
    thread = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000
    begun = 0
    while begun < given["most"]:
        top += size
        if LIBC.clone(wait, ctypes.c_void_p(top - 16), thread, None) < 0:
            break
        begun += 1
    yield "threads", f"got {begun}"
    time.sleep(given["seconds"])
    yield "waited", "got away"


def keep_open(given: Given) -> Deeds:
    """Descriptors that stay when the job is over."""
    KEPT.extend(open(os.devnull) for _ in range(given["most"]))  # noqa: SIM115
    yield "kept", f"got {given['most']}"


def hoard(given: Given) -> Deeds:
    """Take memory with every limit lifted that can be, and tell how many bytes it is by now."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    kept = []
    while True:
        kept.append(bytearray(b"x" * FIRST))
        yield "hoarded", f"got {len(kept) * FIRST}"


def queue(given: Given) -> Deeds:
    """Leave as much as there is room for waiting in pairs of sockets, pipes and a port of one's own; keep it all."""
    for kind, pair in (("pipes", _pipe), ("sockets", socket.socketpair), ("own port", _own_pair)):
        queued = 0
        problem = ""
        try:
            for _ in range(1000):
                ends = pair()
                KEPT.append(ends)
                queued += sum(_stuffed(end) for end in ends)
        except OSError as exc:
            problem = type(exc).__name__
        yield f"{kind} end", problem
        yield kind, f"got {queued}"
        if given["let_go"]:
            KEPT.clear()


KEPT: list[Any] = []


def _pipe() -> tuple[Any, Any]:
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, FIRST)
    return open(reader, "rb"), open(writer, "wb", buffering=0)


def _own_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.socket()
        where = b"\x02\x00" + server.getsockname()[1].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
        if LIBC.connect(near.fileno(), where, 16) < 0:  # past Python, which would not be let
            near.close()
            raise OSError(ctypes.get_errno(), "connect")
        return near, server.accept()[0]


def _stuffed(end: Any) -> int:
    """Bytes that wait in it now."""
    if isinstance(end, socket.socket):
        for option in (7, 8, 32, 33):  # SO_SNDBUF, SO_RCVBUF, and the two that force
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, option, 1 << 29)
    os.set_blocking(end.fileno(), False)
    waiting = 0
    quiet = 0
    while quiet < 3:
        try:
            waiting += os.write(end.fileno(), b"x" * FIRST)
            quiet = 0
        except BlockingIOError:  # what was sent may be on its way
            quiet += 1
            time.sleep(0.001)
        except OSError:
            break
    return waiting


def kernel(given: Given) -> Deeds:
    """Have the kernel keep things for this process that are counted nowhere."""
    context = ctypes.c_ulong(0)
    yield "asynchronous", native("syscall", 206, 4000, ctypes.byref(context))
    yield "submitted", native("syscall", 209, context, 0, None)
    yield "rules", native("syscall", 444, (ctypes.c_uint64 * 3)(0, 3, 0), ctypes.c_long(24), ctypes.c_long(0))
    yield "watches", native("inotify_init")
    reader, writer = os.pipe()
    yield "wider pipe", tried(fcntl.fcntl, writer, fcntl.F_SETPIPE_SZ, FIRST)
    os.close(reader)
    os.close(writer)


def mapped(given: Given) -> Deeds:
    """Map what no limit on data counts: stacks that grow, one that is moved, and room for page tables."""
    stack = next(line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[stack]"))
    start = ctypes.c_void_p(int(stack.split("-")[0], 16))
    large = ctypes.c_size_t(given["bytes"])
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    yield "stack", _mapping("mmap", None, ctypes.c_size_t(FIRST), 3, private | 0x100, -1, ctypes.c_long(0))
    yield "moved stack", _mapping("mremap", start, ctypes.c_size_t(mmap.PAGESIZE), large, 1)
    yield "page tables", _mapping("mmap", None, large, 1, private | 0x4000, -1, ctypes.c_long(0))
    yield "longer stack", tried(lambda: resource.setrlimit(resource.RLIMIT_STACK, (2**40, 2**40)))


def _mapping(function: str, *arguments: Any) -> str:
    call = ctypes.CFUNCTYPE(ctypes.c_ssize_t)((function, LIBC))
    return f"OSError {os.strerror(errno.ENOMEM)}" if call(*arguments) == -1 else "got it"


def fill(given: Given) -> Deeds:
    """Write until there is no room."""
    written = 0
    problem = ""
    for number in range(40):
        try:
            with open(f"fill-{number}", "wb", buffering=0) as file:
                for _ in range(256):
                    written += file.write(b"x" * FIRST)
        except OSError as exc:
            problem = f"{type(exc).__name__} {exc.strerror}"
    yield "room", f"got {written}"
    yield "end", problem
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", str(Path.cwd().parent)):
        yield folder, tried(_write, f"{folder}/evil")


def overhear(given: Given) -> Deeds:
    """Who on this host listens and is connected to whom, and what this process was started with."""
    folders = ("net", "self/net", "thread-self/net", f"self/task/{threading.get_native_id()}/net", "1/net")
    for folder in folders:
        for name in ("tcp", "tcp6", "udp", "unix", "route", "arp"):
            yield f"{folder}/{name}", tried(lambda path=f"/proc/{folder}/{name}": len(Path(path).read_text()))
        yield folder, tried(os.listdir, f"/proc/{folder}")
    for name in ("environ", "task", "root", "cwd/../.."):
        yield name, tried(os.open, f"/proc/self/{name}", os.O_RDONLY)


def dial(given: Given) -> Deeds:
    """Reach what listens here, from Python."""
    port, address, beside = given["port"], given["address"], given["udp"]
    yield "tcp", tried(lambda: socket.create_connection(("127.0.0.1", port), 1))
    yield "tcp elsewhere", tried(lambda: socket.create_connection((address, port), 1))
    yield "metadata", tried(lambda: socket.create_connection(("169.254.169.254", 80), 1))
    yield "udp", tried(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"evil", ("127.0.0.1", beside)))
    yield "udp connected", tried(lambda: socket.socket(type=socket.SOCK_DGRAM).connect(("127.0.0.1", beside)))
    yield "unix", tried(lambda: socket.socket(socket.AF_UNIX).connect(given["unix"]))
    yield "abstract", tried(lambda: socket.socket(socket.AF_UNIX).connect("\0" + given["abstract"]))
    yield "raw", tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    yield "packet", tried(lambda: socket.socket(17, socket.SOCK_RAW, 3))
    yield "netlink", tried(lambda: socket.socket(16, socket.SOCK_RAW))
    yield "vsock", tried(lambda: socket.socket(40, socket.SOCK_STREAM))


def native_dial(given: Given) -> Deeds:
    """The same past Python, which a net under Python does not see."""
    for name, kind, port in (("tcp", 1, given["port"]), ("udp", 2, given["udp"])):
        file = LIBC.socket(2, kind, 0)
        where = b"\x02\x00" + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
        yield name, "OSError" if file < 0 else native("connect", file, where, 16)
    yield "unix", native("socket", 1, 1, 0)


def hang(given: Given) -> Deeds:
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)
    yield "never", ""


def spin(given: Given) -> Deeds:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    yield str(len(str(7**30_000_000))), "never"


def compute_on(given: Given) -> Deeds:
    """Leave a thread that computes for good, deaf to the kernel's word that its time is over."""
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    threading.Thread(target=_compute, daemon=True).start()
    yield "begun", "got away"


def _compute() -> None:
    while True:
        pass


def shout(given: Given) -> Deeds:
    print(given["password"], flush=True)  # noqa: T201  what it means to do
    sys.stderr.write(given["password"])
    for file in range(64):
        try:
            if os.readlink(f"/proc/self/fd/{file}").startswith("socket"):
                continue  # that one is for frames
            os.write(file, given["password"].encode())
        except OSError:
            continue
    yield "shouted", "got away"


def garble(given: Given) -> Deeds:
    """Say things on the worker's own line that are no frames."""
    for file in range(64):
        try:
            if os.readlink(f"/proc/self/fd/{file}").startswith("socket"):
                os.write(file, b"\xff" * 4096)
        except OSError:
            continue
    time.sleep(3600)
    yield "never", ""


def flood(given: Given) -> Deeds:
    """Frames of rows without end, past the budget that the worker keeps."""
    frame = b"\x0f" + (2**20).to_bytes(4, "little") + b"x" * 2**20
    for file in range(64):
        try:
            if os.readlink(f"/proc/self/fd/{file}").startswith("socket"):
                os.set_blocking(file, True)
                while True:
                    os.write(file, frame)
        except OSError:
            continue
    yield "never", ""


def say(given: Given) -> Deeds:
    """Frames of the attacker's choice, before a worker's own."""
    line = next(file for file in range(64) if _is_socket(file))
    os.set_blocking(line, True)
    for kind, payload in given["frames"]:
        os.write(line, bytes([kind]) + len(payload).to_bytes(4, "little") + payload.encode())
    time.sleep(3600)
    yield "never", ""


def repeat(given: Given) -> Deeds:
    """Say one thing without content, again and again."""
    line = next(file for file in range(64) if _is_socket(file))
    os.set_blocking(line, True)
    while True:
        os.write(line, bytes([given["kind"], 0, 0, 0, 0]) * 10_000)
        yield from ()


def _is_socket(file: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{file}").startswith("socket")
    except OSError:
        return False


def vanish(given: Given) -> Deeds:
    os._exit(0)
    yield "never", ""


def _set_flags(path: str) -> None:
    """What ``chattr`` does, to keep a file from being dumped; a descriptor for reading is enough for that."""
    get, put, no_dump = 0x80086601, 0x40086602, 0x40

    def change(file: int) -> None:
        flags = bytearray(8)
        fcntl.ioctl(file, get, flags)
        fcntl.ioctl(file, put, (int.from_bytes(flags, sys.byteorder) | no_dump).to_bytes(8, sys.byteorder))

    _with_descriptor(path, change)


def _watch(folder: int) -> int:
    return fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_MODIFY)


def _with_descriptor(path: str | Path, do: Callable[[int], Any]) -> Any:
    file = os.open(path, os.O_RDONLY)
    try:
        return do(file)
    finally:
        os.close(file)


def _write(path: str) -> int:
    with open(path, "ab") as file:
        return file.write(b"x")


def _holds(path: str, word: bytes) -> bool | str:
    with open(path, "rb") as file:
        return word in file.read(FIRST * 64)
