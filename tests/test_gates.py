"""What no line of the package may do, told by its syntax trees."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import connections

ROOT = Path(connections.__file__).parent
# Tests that are shipped, and a command that writes a new source's first files, run for developers only.
ELSEWHERE = ("migrations", "testing", "startsource.py")
FILES = sorted(path for path in ROOT.rglob("*.py") if not set(ELSEWHERE) & set(path.parts))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]

FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load",
    "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load", "dill.loads",
    "cloudpickle.loads", "os.system", "os.popen", "subprocess.getoutput", "ssl._create_unverified_context",
    "mark_safe", "read_pickle", "read_hdf", "read_html", "read_xml", "read_sql", "read_clipboard",
    "tempfile.mktemp", "lxml.etree.parse", "etree.fromstring",
}  # fmt: skip
FORBIDDEN_ARGUMENTS = {("verify", False), ("shell", True), ("allow_pickle", True), ("check_hostname", False)}
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "jinja2", "telnetlib"}

# The places that may do what the rest may not, with the reason.
HTTP_FAMILY = "adapters/http/"  # its client goes nowhere unjudged
OPENBAO = "sealing/openbao.py"  # its client goes to the operator's own vault alone, at an address no tenant can set
PROCESSES = {"runner/processes.py", "runner/zygote.py"}  # start the workers
ENGINES = {"adapters/sql/tables.py"}  # SQLAlchemy over a connection that stands, for a dialect's quoting
# Put texts together where they are executed. The first two look at a statement's columns by putting it into another,
# after their guard has accepted it as one that reads; the third names columns of our own models.
COMPOSES = {"sources/sqlite/catalogue.py", "sources/duckdb/__init__.py", "services/keys/swapping.py"}
CONNECTS = {"adapters/egress.py", "adapters/addresses.py", "adapters/sql/server.py"}  # judge, then connect


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def imports(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def made_of_parts(node: ast.expr) -> bool:
    """Whether a text is put together here: an f-string with values, ``%``, ``+``, ``.format()`` or ``.join()``."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join")


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_is_run_unpickled_or_trusted_blindly(path):
    for call in calls(path):
        name = dotted(call.func)
        tail = name.rpartition(".")[2]
        assert name not in FORBIDDEN_CALLS, f"{path}:{call.lineno} calls {name}"
        assert tail not in {"read_pickle", "read_sql", "read_hdf", "mark_safe"}, f"{path}:{call.lineno} calls {name}"
        for keyword in call.keywords:
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            assert (keyword.arg, value) not in FORBIDDEN_ARGUMENTS, (
                f"{path}:{call.lineno} passes {keyword.arg}={value!r}"
            )
    assert not imports(path) & FORBIDDEN_IMPORTS


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_statement_is_made_of_parts_where_it_is_executed(path):
    if str(path.relative_to(ROOT)) in COMPOSES:
        return
    for call in calls(path):
        name = dotted(call.func).rpartition(".")[2]
        if name in ("execute", "executemany", "executescript", "mogrify", "raw", "extra", "RawSQL") and call.args:
            assert not made_of_parts(call.args[0]), f"{path}:{call.lineno} executes a text made of parts"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_reaches_out_does_so_in_its_one_place(path):
    name = str(path.relative_to(ROOT))
    found = imports(path)
    if not name.startswith(HTTP_FAMILY):
        assert not found & {"requests", "urllib3", "aiohttp", "httpx", "httpcore"}, "HTTP is the http family's"
    allowed = ("adapters/http/", "api/", "services/", "admin/", OPENBAO)
    assert "http" not in found or name.startswith(allowed), "http.client"
    if name not in PROCESSES:
        assert "subprocess" not in found, "workers start no process"
    for call in calls(path):
        called = dotted(call.func)
        assert called.rpartition(".")[2] != "urlopen", f"{path}:{call.lineno}"
        assert called.rpartition(".")[2] != "create_engine" or name in ENGINES, f"{path}:{call.lineno}"
        if called in ("socket.create_connection", "socket.getaddrinfo"):
            assert name in CONNECTS | {"services/own.py"}, f"{path}:{call.lineno} connects or resolves by itself"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_text_of_a_user_is_a_template(path):
    for call in calls(path):
        name = dotted(call.func).rpartition(".")[2]
        assert name not in ("from_string", "Template", "render_template_string", "expandvars", "expanduser")
        if name == "format" and isinstance(call.func, ast.Attribute):
            # `"…".format(…)` of a text that stands in the code may be; of a variable it would read attributes.
            assert isinstance(call.func.value, ast.Constant) or dotted(call.func.value).isupper(), (
                f"{path}:{call.lineno} formats a text that is not written there"
            )


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_driver_is_imported_when_a_source_is_listed(path):
    name = str(path.relative_to(ROOT))
    if not name.startswith("sources/") or not (name.count("/") == 1 or name.endswith("__init__.py")):
        return
    top = {
        alias.split(".")[0]
        for node in tree(path).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert not top & {"psycopg", "pymysql", "duckdb", "httpx", "pyarrow", "pandas", "sqlalchemy", "paramiko"}


INSTALLERS = {"pip", "ensurepip", "setuptools", "pkg_resources", "urllib.request", "ftplib", "venv"}
INSTALLS = re.compile(r"(?i)\s*(force\s+)?(install|load)\s+\S|.*\b(INSTALL|LOAD)\s+'?\w+'?\s*;")
DEPLOYMENT = sorted((ROOT.parent / "catalog_project").rglob("*.py"))


def fetches(module: ast.Module) -> list[str]:
    """Where a module would get code at run time: it imports an installer, or has the database install an extension."""
    found = []
    for node in ast.walk(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [name for name in names if name in INSTALLERS or name.partition(".")[0] in INSTALLERS]
        called = dotted(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called in ("execute", "sql"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            found += [text for text in texts if INSTALLS.match(text)]
        found += [called] if called == "install_extension" else []
    return found


@pytest.mark.parametrize("path", [*FILES, *DEPLOYMENT], ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_nothing_is_downloaded_or_installed_at_run_time(path):
    assert fetches(tree(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pip",
        "from urllib.request import urlretrieve",
        "import urllib.request",
        "from urllib import request",
        "cursor.execute('INSTALL httpfs')",
        "connection.sql(\"select 1; load 'httpfs';\")",
        "connection.install_extension('httpfs')",
    ],
)
def test_a_download_at_run_time_would_be_seen(text):
    assert fetches(ast.parse(text))


def test_the_gates_see_what_they_are_for():
    """A gate that nothing can fail is none."""
    bad = ast.parse("cursor.execute(f'select {x}')\ncursor.execute('a' + b)\ncursor.execute('{}'.format(b))")
    found = [node for node in ast.walk(bad) if isinstance(node, ast.Call) and dotted(node.func) == "cursor.execute"]
    assert [made_of_parts(call.args[0]) for call in found] == [True, True, True]
    assert len(FILES) > 100
