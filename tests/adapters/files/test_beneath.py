"""Files are opened beneath their folder, and nothing else is."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from connections.adapters.errors import InvalidError, QueryError, TooLargeError
from connections.adapters.files import resolving
from connections.adapters.files.beneath import open_beneath, open_folder, walk_beneath


@pytest.fixture(params=["openat2", "walk"])
def way(request, monkeypatch):
    """Both ways of resolving a name keep the same promises."""
    if request.param == "walk":
        monkeypatch.setattr(resolving, "_syscall", lambda: None)
    return request.param


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "organisation"
    (folder / "sales").mkdir(parents=True)
    (folder / "sales" / "2024.csv").write_text("inside")
    (tmp_path / "secret.csv").write_text("outside")
    return folder


def content(root, name):
    opened = open_beneath(root, name)
    try:
        return os.read(opened, 100).decode()
    finally:
        os.close(opened)


def test_a_file_beneath_the_folder_opens(way, root):
    assert content(root, "sales/2024.csv") == "inside"


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../secret.csv", "sales/../../secret.csv", "./sales/2024.csv", "sales//2024.csv", "/etc/passwd",
        "/proc/self/environ", "/dev/zero", "~/secret.csv", "~root", "..\\secret.csv", "sales\\2024.csv", "a\0b",
        "sales/2024.csv\0.txt", "%2e%2e/secret.csv", "%2E%2e%2fsecret.csv", "..%5csecret.csv", "%252e%252e/secret.csv",
        "file:///etc/passwd", "file://secret.csv", "\\\\server\\share", "//server/share", "a\nb", "\ud800",
        "a/" * 20 + "b", "a" * 2000,
    ],
)  # fmt: skip
def test_a_name_that_is_not_plainly_beneath_is_invalid(way, root, name):
    with pytest.raises(InvalidError) as caught:
        open_beneath(root, name, field="/query/table")
    assert caught.value.field == "/query/table"


@pytest.mark.parametrize(
    "name",
    ["․․/secret.csv", "．．/secret.csv", "..;/secret.csv", "‥/secret.csv", "sales∕2024.csv", "...", "nothing.csv"],
)
def test_look_alikes_are_ordinary_names_that_do_not_exist(way, root, name):
    with pytest.raises(QueryError, match="There is no"):
        open_beneath(root, name)


def test_a_symbolic_link_is_not_followed_wherever_it_leads(way, root, tmp_path):
    (root / "out.csv").symlink_to(tmp_path / "secret.csv")
    (root / "in.csv").symlink_to(root / "sales" / "2024.csv")
    (root / "folder").symlink_to(tmp_path)
    (root / "self").symlink_to("/proc/self")
    for name in ("out.csv", "in.csv", "folder/secret.csv", "self/environ", "self/fd/0"):
        with pytest.raises(QueryError):
            open_beneath(root, name)


def test_a_hard_link_is_refused(way, root, tmp_path):
    os.link(tmp_path / "secret.csv", root / "hard.csv")
    with pytest.raises(QueryError, match="hard link"):
        open_beneath(root, "hard.csv")


def test_only_regular_files_open_and_none_of_the_others_holds_us(way, root):
    os.mkfifo(root / "pipe.csv")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(root)  # the path of a socket is short
    try:
        server.bind("socket.csv")
    finally:
        os.chdir(here)
    for name in ("pipe.csv", "socket.csv", "sales"):
        with pytest.raises(QueryError, match="not a regular file"):
            open_beneath(root, name)
    server.close()


def test_a_folder_opens_beneath_another_and_a_link_to_one_does_not(way, root, tmp_path):
    opened = open_folder(root, "sales")
    assert os.listdir(opened) == ["2024.csv"]
    os.close(opened)
    (root / "link").symlink_to(tmp_path)
    for name in ("link", "sales/2024.csv", "none"):
        with pytest.raises(QueryError):
            open_folder(root, name)
    with pytest.raises(InvalidError):
        open_folder(root, "..")


def seen_while(flip, root, name):
    """What ten thousand readings of a file show while a thread flips it; None for a refusal."""
    stop = threading.Event()

    def flipping():
        while not stop.is_set():
            flip()

    flipper = threading.Thread(target=flipping)
    flipper.start()
    seen = set()
    try:
        for _ in range(10_000):
            try:
                seen.add(content(root, name))
            except QueryError:
                seen.add(None)
    finally:
        stop.set()
        flipper.join()
    return seen


def test_swapping_a_file_for_a_link_never_shows_the_outside(way, root, tmp_path):
    """A thread swaps file and link all the time; what was opened is the file or nothing."""
    target, spare, link = root / "flip.csv", root / "spare", root / "link"

    def flip():
        spare.write_text("inside")
        os.replace(spare, target)
        link.symlink_to(tmp_path / "secret.csv")
        os.replace(link, target)

    assert seen_while(flip, root, "flip.csv") == {"inside", None}


def test_swapping_a_file_for_a_hard_link_never_shows_the_outside(way, root, tmp_path):
    """A link that is gone again when the open file is looked at has left no trace on the file."""
    target, spare, link = root / "flip.csv", root / "spare", root / "link"
    spare.write_text("inside")
    os.replace(spare, target)

    def flip():
        os.link(tmp_path / "secret.csv", link)
        os.replace(link, target)
        spare.write_text("inside")
        os.replace(spare, target)
        time.sleep(0.0001)  # let the other thread see the file itself too

    seen = seen_while(flip, root, "flip.csv")
    assert "inside" in seen
    assert "outside" not in seen


def test_swapping_a_folder_on_the_way_never_shows_the_outside(way, root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2024.csv").write_text("outside")

    def flip():
        os.rename(root / "sales", root / "away")
        os.symlink(tmp_path / "elsewhere", root / "sales")
        os.unlink(root / "sales")
        os.rename(root / "away", root / "sales")
        time.sleep(0.0001)  # let the other thread see the folder itself too

    seen = seen_while(flip, root, "sales/2024.csv")
    assert "inside" in seen
    assert "outside" not in seen


def test_no_descriptor_is_left_open_after_a_refusal(way, root):
    os.mkfifo(root / "pipe")
    before = len(os.listdir("/dev/fd"))
    for _ in range(50):
        for name in ("pipe", "sales", "sales/none", "none/none/none", ".."):
            with pytest.raises((QueryError, InvalidError)):
                open_beneath(root, name)
    assert len(os.listdir("/dev/fd")) == before


def test_the_walk_names_files_in_order_and_skips_links_and_hidden_names(root, tmp_path):
    (root / "b.csv").write_text("")
    (root / "a.csv").write_text("")
    (root / ".hidden").write_text("")
    (root / "link").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    assert list(walk_beneath(root)) == ["a.csv", "b.csv", "sales/2024.csv"]


def test_the_walk_ends_at_its_bounds(root):
    for number in range(20):
        (root / f"{number}.csv").write_text("")
    with pytest.raises(TooLargeError):
        list(walk_beneath(root, files=5))
    with pytest.raises(TooLargeError):
        list(walk_beneath(root, entries=5))
    deep = root / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "deep.csv").write_text("")
    assert "a/b/c/deep.csv" in set(walk_beneath(root))
    assert "a/b/c/deep.csv" not in set(walk_beneath(root, depth=3))


def test_a_folder_that_is_not_made_yet_holds_no_file(tmp_path):
    with pytest.raises(QueryError, match=r"There is no 'sales\.csv'"):
        open_beneath(tmp_path / "later", "sales.csv")
