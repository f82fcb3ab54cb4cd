"""Files in a folder of the organisation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from pydantic import Field

from connections.adapters.base import Check
from connections.adapters.config import Config
from connections.adapters.contract import Category, StepName
from connections.adapters.errors import AuthorizationError
from connections.adapters.files.adapter import FilesAdapter
from connections.adapters.files.beneath import open_beneath, open_folder, walk_beneath
from connections.adapters.files.formats import format_of
from connections.adapters.limits import Deadline


class LocalFilesConfig(Config):
    folder: str = Field(
        ".",
        title="Folder",
        description="A folder beneath the organisation's own, such as reports/2024; a dot is the organisation's own.",
        examples=["reports"],
        min_length=1,
        max_length=1024,
    )


class LocalFilesAdapter(FilesAdapter[LocalFilesConfig]):
    """CSV, JSON, JSON Lines, Parquet and Excel files beneath the organisation's folder. Links are not followed."""

    id = "local_files"
    label = "Local files"
    category = Category.FILES
    config_class = LocalFilesConfig
    needs_network = False
    tested_against = "real files"

    _folder: int | None = None

    def connect(self, deadline: Deadline) -> None:
        """Open the folder, anew for every job: one that was replaced since is not read through an old descriptor."""
        self.close()
        root = self.environment.root
        if root is None:
            raise AuthorizationError("This deployment gives the organisation no folder.", field="/config/folder")
        try:
            self._folder = open_folder(root, self.config.folder, error=AuthorizationError)
        except FileNotFoundError:
            raise AuthorizationError("The organisation's folder does not exist.", field="/config/folder") from None

    def checks(self) -> list[Check]:
        return [Check(StepName.DATABASE, self._check_folder), Check(StepName.SAMPLE, self._check_file)]

    def names(self, deadline: Deadline) -> Iterator[str]:
        for name in walk_beneath(self._opened_folder()):
            deadline.require()
            yield name

    def open_file(self, name: str, deadline: Deadline, *, field: str) -> BinaryIO:
        return os.fdopen(open_beneath(self._opened_folder(), name, field=field), "rb")

    def close(self) -> None:
        super().close()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def _opened_folder(self) -> int:
        if self._folder is None:
            raise RuntimeError("connect comes first")
        return self._folder

    def _check_folder(self, deadline: Deadline) -> str:
        self.connect(deadline)
        return f"folder {self.config.folder}"

    def _check_file(self, deadline: Deadline) -> str:
        """Open the first file of a known format. An empty folder is well: files may come later."""
        name = next((name for name in self.names(deadline) if format_of(name) is not None), None)
        if name is None:
            return "no files of a known format"
        self.open_file(name, deadline, field="/config/folder").close()
        return f"opened {name}"


adapter = LocalFilesAdapter
