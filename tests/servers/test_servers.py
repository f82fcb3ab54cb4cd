"""The servers that the other tests lean on do what they promise."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import psutil
import psycopg
import pymysql
import pytest

from catalog_project.demo import postgres
from tests.servers import postgresql as postgresql_server
from tests.servers.authority import Authority
from tests.servers.pausable import PausableServer


def log_in(server: PausableServer, role: str = "reader", **settings: Any) -> psycopg.Connection:
    login = server.login(role)
    return psycopg.connect(dbname=login.pop("database"), connect_timeout=2, **login | settings)


def trusting(authority: Authority, tmp_path: Any) -> dict[str, str]:
    (tmp_path / "ca.crt").write_text(authority.certificate)
    return {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.crt")}


@pytest.fixture
def planes(postgresql: PausableServer):
    with postgres.connect(postgresql) as connection:
        connection.execute("CREATE TABLE planes (tailnum text)")
        yield "planes"
        connection.execute("DROP TABLE planes")


def test_postgresql_lets_the_reader_select_and_nothing_else(postgresql: PausableServer, planes: str):
    with log_in(postgresql) as connection:
        connection.autocommit = True
        assert connection.execute(f"SELECT count(*) FROM {planes}").fetchone() == (0,)
        for statement in (
            f"INSERT INTO {planes} VALUES ('N1')",
            "CREATE TABLE mine (a int)",
            "CREATE TEMPORARY TABLE mine (a int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_postgresql_refuses_a_wrong_password(postgresql: PausableServer):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        log_in(postgresql, password="wrong")


def test_postgresql_with_tls_refuses_a_login_without(postgresql_tls: PausableServer):
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        log_in(postgresql_tls, sslmode="disable")


def test_postgresql_with_tls_is_verified_by_name_and_by_address(
    postgresql_tls: PausableServer, authority: Authority, tmp_path
):
    for host in ("localhost", "127.0.0.1"):
        with log_in(postgresql_tls, host=host, **trusting(authority, tmp_path)) as connection:
            row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
            assert row == (True,)


def test_a_certificate_for_another_host_fails_verification(
    postgresql_wrong_name: PausableServer, authority: Authority, tmp_path
):
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        log_in(postgresql_wrong_name, host="localhost", **trusting(authority, tmp_path))


def test_an_expired_certificate_fails_verification(postgresql_expired: PausableServer, authority: Authority, tmp_path):
    with pytest.raises(psycopg.OperationalError, match=r"certificate (verify failed|has expired)"):
        log_in(postgresql_expired, **trusting(authority, tmp_path))


def test_mariadb_lets_the_reader_select_and_nothing_else(mariadb: PausableServer):
    with pymysql.connect(**mariadb.login("superuser"), autocommit=True) as owner, owner.cursor() as cursor:
        cursor.execute("CREATE TABLE planes (tailnum text)")
        with pymysql.connect(**mariadb.login()) as reader, reader.cursor() as reading:
            reading.execute("SELECT count(*) FROM planes")
            assert reading.fetchall() == ((0,),)
            with pytest.raises(pymysql.OperationalError, match="denied"):
                reading.execute("INSERT INTO planes VALUES ('N1')")
        cursor.execute("DROP TABLE planes")


def test_mariadb_offers_tls_of_the_same_authority(mariadb: PausableServer, authority: Authority, tmp_path):
    (tmp_path / "ca.crt").write_text(authority.certificate)
    tls = {"ssl_ca": str(tmp_path / "ca.crt"), "ssl_verify_cert": True, "ssl_verify_identity": True}
    with pymysql.connect(**mariadb.login(), **tls) as reader, reader.cursor() as reading:
        reading.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert reading.fetchall()[0][1]


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_no_server_runs_as_root(name: str, request: pytest.FixtureRequest):
    server: PausableServer = request.getfixturevalue(name)
    assert psutil.Process(server.process.pid).uids().effective != 0


def test_a_paused_server_keeps_a_connection_open_and_does_not_answer(postgresql: PausableServer):
    with log_in(postgresql) as connection:
        postgresql.pause()
        try:
            with pytest.raises(psycopg.OperationalError, match="timeout"):
                log_in(postgresql)
        finally:
            postgresql.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stopped_server_leaves_no_process_and_no_folder():
    server = postgresql_server.start()
    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    server.stop()
    assert len(processes) > 1
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    assert not server.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_server_ends_when_its_starter_is_killed():
    starter = """
        from tests.servers import postgresql
        import time
        server = postgresql.start()
        print(server.process.pid, server.folder, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(starter)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().split()
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    subprocess.run(["rm", "-rf", folder], check=True)
