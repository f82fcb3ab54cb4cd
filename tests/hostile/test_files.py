"""Files that burst, and queries that eat: each costs one worker of capped memory, and the supervisor nothing."""

import gzip
import hashlib
import io
import json
import os
import sqlite3
import zipfile
from contextlib import closing

import pytest

from connections.adapters.limits import Budget
from tests.adapters.files.test_excel import CLOSE, OPEN, SHEET, book, rewritten
from tests.hostile.attack import attack
from tests.hostile.liar import Liar

MIB = 2**20
SMALL = Budget(memory_bytes=300 * MIB)
CONTENT_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
ENTITIES = '<!DOCTYPE x [<!ENTITY a "0123456789">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1 if n else str()};" * 10}">' for n in range(10)
)


@pytest.fixture
def read(runner, tmp_path):
    """Write a file and preview it through a worker."""

    def write_and_read(name: str, content: bytes | None, source: str = "local_files", **options):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        settings = {} if source == "local_files" else {"path": name}
        timeout = options.pop("timeout", 4)
        query = options.pop("query", {"table": [name], **options})
        return attack(runner, source, settings, query, root=str(tmp_path), budget=SMALL, timeout=timeout)

    return write_and_read


def repeated(unit: bytes, size: int, level: int = 9) -> bytes:
    """``size`` bytes of ``unit``, compressed on the way."""
    packed = io.BytesIO()
    block = unit * (MIB // len(unit))
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=level) as file:
        for _ in range(size // len(block)):
            file.write(block)
    return packed.getvalue()


def workbook(**parts: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", CONTENT_TYPES)
        for name, part in parts.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), part)
    return content.getvalue()


BOMBS = {
    "one field of 50 MB.csv": ("too_large", lambda: b"a,b\n" + b"x" * 50_000_000 + b",1\n"),
    "one quoted field of 50 MB.csv": ("too_large", lambda: b'a,b\n"' + b"x" * 50_000_000),
    "no line break.csv": ("too_large", lambda: b"x" * 100_000_000),
    "a million columns.csv": (
        "too_large",
        lambda: b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n" + b"," * 999_999 + b"\n",
    ),
    "only quotes.csv": ("too_large", lambda: b'"' * 20_000_000),
    "only commas.csv": ("too_large", lambda: b"," * 20_000_000),
    "nul.csv": ("query", lambda: b"a,b\n1,\0\n"),
    "bad utf-8.csv": ("query", lambda: b"a,b\n\xff\xfe\x80,1\n" * 10),
    "bomb.csv.gz": ("too_large", lambda: repeated(b"x", 600 * MIB)),
    "bomb of lines.csv.gz": ("ok", lambda: repeated(b"1,2,3\n", 600 * MIB)),
    "bomb in a bomb.csv.gz": ("query", lambda: gzip.compress(repeated(b"x", 600 * MIB))),
    "deep.json": ("query", lambda: b"[" * 5_000_000),
    "deep objects.json": ("query", lambda: b'{"a":' * 1_000_000),
    "one text.json": ("too_large", lambda: b'["' + b"x" * 100_000_000),
    "one number.json": ("deadline", lambda: b"[" + b"9" * 20_000_000 + b"]"),
    "many members.json": ("too_large", lambda: b"[{" + b",".join(b'"k%d":1' % n for n in range(500_000)) + b"}]"),
    "bomb.json.gz": ("query", lambda: repeated(b"[", 600 * MIB)),
    "bomb.jsonl.gz": ("too_large", lambda: repeated(b" ", 600 * MIB)),
    "no parquet.parquet": ("query", lambda: b"PAR1" + os.urandom(10_000) + b"\xff\xff\xff\x7fPAR1"),
    "negative footer.parquet": ("query", lambda: b"PAR1" + bytes(100) + b"\xff\xff\xff\xffPAR1"),
    "spaces.xlsx": ("too_large", lambda: workbook(xl__workbook_xml=b" " * 200_000_000)),
    "paths.xlsx": ("query", lambda: workbook(**{"..__..__etc__x_xml": b"<a/>"})),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_bursts_costs_one_preview(read, name):
    code, make = BOMBS[name]
    outcome = read(name, make())
    assert outcome.code == code, outcome.told
    assert outcome.size < 9 * MIB


DOCTYPES = {
    "external entity, a file": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "external entity, over HTTP": '<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:{port}/x">]>',
    "parameter entity": '<!DOCTYPE x [<!ENTITY % b SYSTEM "http://127.0.0.1:{port}/x.dtd"> %b;]>',
    "document type elsewhere": '<!DOCTYPE x SYSTEM "http://127.0.0.1:{port}/x.dtd">',
    "billion laughs": ENTITIES.replace("{", "{{").replace("}", "}}") + "]>",
    "quadratic": '<!DOCTYPE x [<!ENTITY a "' + "x" * 100_000 + '">]>',
}


@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "xl/sharedStrings.xml"])
@pytest.mark.parametrize("name", DOCTYPES)
def test_a_document_type_in_a_spreadsheet_costs_one_preview(read, name, part):
    strings = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>a</t></si></sst>'
    plain = rewritten(book(("One", [["a"], [1]])), {"xl/sharedStrings.xml": strings})
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        content = archive.read(part).split(b"?>", 1)[-1]
    for open_ in (b"<v>", b"<t>"):
        content = content.replace(open_, open_ + b"&a;" * (1000 if name == "quadratic" else 1), 1)
    with Liar(lambda wire: wire.silence()) as liar:
        prolog = DOCTYPES[name].format(port=liar.port).encode()
        outcome = read("x.xlsx", rewritten(plain, {part: prolog + content}))
        assert liar.accepted == 0
    assert outcome.code == "query", outcome.told
    assert b"root:" not in outcome.body + outcome.told.encode()


FOREIGN = {
    "XInclude": '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>',
    "schema": '<x xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="x http://127.0.0.1:{port}/x"/>',
    "stylesheet": '<?xml-stylesheet href="http://127.0.0.1:{port}/x.xsl" type="text/xsl"?>',
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_a_spreadsheet_points_to_is_not_fetched(read, name):
    with Liar(lambda wire: wire.silence()) as liar:
        inner = FOREIGN[name].format(port=liar.port).encode()
        cell = b'<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'
        outcome = read("x.xlsx", rewritten(book(("One", [["a"]])), {SHEET: OPEN + inner + cell + CLOSE}), header=False)
        assert liar.accepted == 0
    assert (outcome.code, outcome.body) == ("ok", b'["a"]'), outcome.told


def test_a_parquet_file_of_800_megabytes_in_100_kilobytes_costs_one_preview(runner, tmp_path):
    import pyarrow
    import pyarrow.parquet

    cells = pyarrow.chunked_array([pyarrow.array(["x" * 800_000])] * 1000)  # one cell in memory, a thousand times
    pyarrow.parquet.write_table(pyarrow.table({"a": cells}), tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < MIB
    for memory in range(256, 336, 8):  # about where Arrow's own allocator would have taken all that is left
        budget = Budget(memory_bytes=memory * MIB)
        outcome = attack(runner, "local_files", {}, {"table": ["bomb.parquet"]}, root=str(tmp_path), budget=budget)
        assert (outcome.code, outcome.fields["truncated"] is not None) == ("ok", True), outcome.told


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "~/x.csv", "a/../../secret", "..\\secret", "/proc/self/environ", "file:///etc/passwd",
     "\\\\host\\share", "%2e%2e/secret", "..;/secret", "a\0.csv", "", ".", "..", "//etc/passwd", "/dev/zero",
     "pipe.csv", "link.csv", "{{7*7}}", "${HOME}", "$(id)", "%(x)s", "{0.__init__}",
     "﹒﹒/secret", "。。/secret", "．．/secret"],
)  # fmt: skip
@pytest.mark.parametrize("source", ["local_files", "sqlite", "duckdb"])
def test_no_name_leads_out_of_the_folder(runner, tmp_path, source, name):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("SECRET OF ANOTHER")
    (root / "link.csv").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe.csv")
    settings = {} if source == "local_files" else {"path": name}
    query = {"table": [name]} if source == "local_files" else {"sql": "select 1"}
    outcome = attack(runner, source, settings, query, root=str(root))
    assert outcome.code in {"invalid", "query", "query_forbidden", "authorization"}, outcome.told
    assert "SECRET" not in outcome.told


# Databases in a file -------------------------------------------------------------------------------------------

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n)"
RACE = {"deadline", "too_large"}
"""For what eats memory and time: which of its budgets it passes first is the machine's."""
EATERS = {
    f"{ENDLESS} select count(*) from n": {"deadline"},
    f"{ENDLESS} select group_concat(i, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') from n": RACE,
    f"{ENDLESS} select * from n order by i desc": RACE,
    f"{ENDLESS} select json_group_array(i) from n": RACE,
    "select printf('%.*c', 2100000000, 'x')": RACE,
    "select printf('%900000000d', 1)": {"ok"},  # the width is cut
    "select replace(hex(printf('%.*c', 30000000, 'x')), '7', printf('%.*c', 1000000, 'x'))": {"too_large"},
    "select 'a' like '%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%b' || printf('%.*c', 9000, '%a')": {"ok"},
    "select " + "(" * 2000 + "1" + ")" * 2000: {"query"},
    "select 1" + " + 1" * 20_000: {"query"},
    "select 1 where 1 in (" + ",".join("1" for _ in range(100_000)) + ")"[:99_000]: {"invalid"},
    "select * from " + ", ".join(f"(select 1) t{n}" for n in range(500)): {"query"},
}


@pytest.mark.parametrize("text", EATERS, ids=lambda text: text[:60])
def test_a_query_of_sqlite_that_eats_costs_one_preview(read, tmp_path, text):
    with closing(sqlite3.connect(tmp_path / "small.db")) as database:
        database.execute("create table t (a)")
    before = hashlib.sha256((tmp_path / "small.db").read_bytes()).digest()
    outcome = read("small.db", None, "sqlite", query={"sql": text}, timeout=2)
    assert outcome.code in EATERS[text], outcome.told
    assert hashlib.sha256((tmp_path / "small.db").read_bytes()).digest() == before
    assert os.listdir(tmp_path) == ["small.db"]


def crafted(change) -> bytes:
    database = sqlite3.connect(":memory:")
    database.execute("create table t (a integer primary key, b text)")
    database.executemany("insert into t values (?, ?)", [(n, "x" * 500) for n in range(200)])
    content = bytearray(database.serialize())
    database.close()
    change(content)
    return bytes(content)


CRAFTED = {
    "header only": lambda content: content.__delitem__(slice(100, None)),
    "page size of 65536": lambda content: content.__setitem__(slice(16, 18), b"\0\1"),
    "page size of 3": lambda content: content.__setitem__(slice(16, 18), b"\0\3"),
    "huge page count": lambda content: content.__setitem__(slice(28, 32), b"\xff" * 4),
    "freelist in a circle": lambda content: content.__setitem__(slice(32, 40), b"\0\0\0\1\xff\xff\xff\xff"),
    "root page is noise": lambda content: content.__setitem__(slice(100, 400), b"\xff" * 300),
    "last pages are noise": lambda content: content.__setitem__(slice(4096, 9000), os.urandom(4904)),
    "a later format": lambda content: content.__setitem__(slice(18, 20), b"\x63\x63"),
    "cut": lambda content: content.__delitem__(slice(len(content) // 2, None)),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_database_costs_one_preview(read, tmp_path, name):
    content = crafted(CRAFTED[name])
    for text in ("select * from t", "select count(*), max(length(b)) from t"):
        outcome = read("crafted.db", content, "sqlite", query={"sql": text})
        assert outcome.code in {"ok", "protocol", "query", "too_large", "worker_crashed"}, outcome.told
    assert (tmp_path / "crafted.db").read_bytes() == content
    assert os.listdir(tmp_path) == ["crafted.db"]


def test_a_crafted_view_calls_no_function_that_acts(read, tmp_path):
    with closing(sqlite3.connect(tmp_path / "evil.db")) as database:
        database.create_function("load_extension", 1, lambda name: name)
        database.create_function("fts3_tokenizer", 1, lambda name: name)
        database.execute("create view v as select load_extension('x.so') as a")
        database.execute("create view w as select fts3_tokenizer('simple') as a")
        database.execute("create table t (a integer check (load_extension('x.so')))")
    for name in ("v", "w"):
        outcome = read("evil.db", None, "sqlite", query={"table": [name]})
        assert outcome.code in {"query", "query_forbidden", "not_a_query"}, outcome.told


DUCK = {
    "select len(range(300000000))": {"too_large"},
    "select repeat('x', 3000000000)": {"too_large"},
    "select count(*) from range(10000000000000)": {"deadline"},
    "select * from range(10000000000000) order by 1 desc": RACE,
    "select list(i) from range(10000000000) t(i)": RACE,
    "select string_agg(repeat('x', 1000), '') from range(100000000)": RACE,
    "select a.i from range(1000000) a(i), range(1000000) b(i) group by all": {"deadline"},
    "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n": {"deadline"},
    "select max(md5(repeat('x', 10000000 + i % 7))) from range(100000) t(i)": RACE,
}


@pytest.fixture(scope="module")
def duck(tmp_path_factory):
    duckdb = pytest.importorskip("duckdb")
    folder = tmp_path_factory.mktemp("duck")
    with duckdb.connect(str(folder / "small.duckdb")) as database:
        database.execute("create table t as select 1 as a")
    return folder


@pytest.mark.parametrize("text", DUCK)
def test_a_query_of_duckdb_that_eats_costs_one_preview(runner, duck, text):
    outcome = attack(runner, "duckdb", {"path": "small.duckdb"}, {"sql": text}, root=str(duck), budget=SMALL, timeout=3)
    assert outcome.code in DUCK[text], outcome.told
    assert os.listdir(duck) == ["small.duckdb"]


OUT_OF_DUCK = [
    "select * from read_csv('{place}')", "select * from read_text('{place}')", "select * from read_blob('{place}')",
    "select * from read_json('{place}')", "select * from '{place}'", "select * from glob('/**')",
    "select * from sniff_csv('{place}')", "select * from read_parquet('{place}')", "from '{place}'",
    "attach '{place}' as x", "copy t to '{place}2'", "copy (select 1) to '{place}2'", "export database '{place}2'",
    "install httpfs", "load httpfs", "select * from read_csv('http://127.0.0.1:{port}/x.csv')",
    "set enable_external_access = true", "set lock_configuration = false", "reset enable_external_access",
    "set memory_limit = '100GB'", "set temp_directory = '/tmp'", "set log_query_path = '{place}2'",
    "pragma enable_profiling", "pragma database_list", "select * from duckdb_secrets(); select 1",
    "select 1; select 2", "select 1) ; attach '{place}' as x; (select 1", "create table u as select 1",
    "insert into t values (2)", "delete from t", "drop table t", "select * from query('attach ''{place}''')",
    "select getenv('HOME')", "call pragma_version(); drop table t", "checkpoint", "vacuum", "explain analyze select 1",
]  # fmt: skip


@pytest.mark.parametrize("text", OUT_OF_DUCK)
def test_nothing_but_its_tables_is_read_through_duckdb(runner, duck, tmp_path, text):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nSECRET-OF-ANOTHER\n")
    before = hashlib.sha256((duck / "small.duckdb").read_bytes()).digest()
    with Liar(lambda wire: wire.silence()) as liar:
        sql = text.replace("{place}", str(secret)).replace("{port}", str(liar.port))
        outcome = attack(runner, "duckdb", {"path": "small.duckdb"}, {"sql": sql}, root=str(duck))
        assert liar.accepted == 0
    assert outcome.code != "ok", (outcome.told, outcome.body)
    assert outcome.code in {"not_a_query", "query", "query_forbidden", "invalid"}, outcome.told
    assert hashlib.sha256((duck / "small.duckdb").read_bytes()).digest() == before
    assert os.listdir(tmp_path) == ["secret.csv"]


def test_an_honest_file_is_read_after_all_that(read):
    outcome = read("plain.csv", b"a,b\n1,2\n")
    assert (outcome.code, json.loads(b"[" + outcome.body + b"]")) == ("ok", [[1, 2]])
