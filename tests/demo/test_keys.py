"""The development settings are made once and are for their owner alone."""

import base64
from pathlib import Path

from scripts import keys


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path):
    made = keys.ensure(tmp_path / "var")
    assert keys.ensure(tmp_path / "var") == made
    assert (tmp_path / "var" / "env").stat().st_mode & 0o777 == 0o600
    assert keys.ensure(tmp_path / "other")["CATALOG_KEYS"] != made["CATALOG_KEYS"]


def test_a_key_is_32_random_bytes_and_not_the_secret_key(tmp_path: Path):
    made = keys.ensure(tmp_path)
    name, _, key = made["CATALOG_KEYS"].partition(":")
    assert name == "k1"
    assert len(base64.urlsafe_b64decode(key)) == 32
    assert key not in made["CATALOG_SECRET_KEY"]
