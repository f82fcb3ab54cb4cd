"""What can be asked of a folder of files."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from connections.adapters.config import ADVANCED, Query

Format = Literal["csv", "json", "jsonl", "parquet", "excel"]
Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1250", "windows-1251", "windows-1252", "windows-1254",
    "iso-8859-1", "iso-8859-2", "iso-8859-15", "mac-roman", "shift_jis", "euc-jp", "gb18030", "big5", "euc-kr",
]  # fmt: skip
Kind = Literal["boolean", "integer", "float", "decimal", "date", "timestamp", "timestamptz", "string"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
OneCharacter = Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r"[^\r\n\x00]")]

FOLDED: dict[str, JsonValue] = {"section": ADVANCED}  # most files are read well without


class ReaderOptions(Query):
    """How a file is read. What is left out is found in the file itself, as the readers document."""

    format: Format | None = Field(
        None, title="Format", json_schema_extra=FOLDED, description="Left out, the name's ending tells."
    )
    delimiter: OneCharacter | None = Field(
        None,
        title="Delimiter",
        json_schema_extra=FOLDED,
        description="CSV. Left out: of comma, semicolon, tab and bar, the one the first line has most.",
    )
    quote: OneCharacter | Literal[""] | None = Field(
        None,
        title="Quote",
        json_schema_extra=FOLDED,
        description='CSV. The double quote when left out; "" when nothing is quoted.',
    )
    header: bool | None = Field(
        None,
        title="Header row",
        json_schema_extra=FOLDED,
        description="CSV and Excel. Whether the first row names the columns; it does if left out.",
    )
    encoding: Encoding | None = Field(
        None,
        title="Encoding",
        json_schema_extra=FOLDED,
        description="Text formats. Left out: as the byte order mark says, else UTF-8.",
    )
    nulls: list[Annotated[str, StringConstraints(max_length=100)]] | None = Field(
        None,
        title="Nulls",
        json_schema_extra=FOLDED,
        max_length=20,
        description="CSV. Texts that stand for null besides the empty one, such as NA.",
    )
    sheet: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, title="Sheet", json_schema_extra=FOLDED, description="Excel. The first sheet when left out."
    )
    records: Annotated[str, StringConstraints(max_length=500, pattern=r"^(/[^/]*)*$")] | None = Field(
        None,
        title="Records",
        json_schema_extra=FOLDED,
        description="JSON. Pointer to the array of records, such as /data/items.",
    )
    types: Literal["infer", "text"] | dict[str, Kind] | None = Field(
        None,
        title="Types",
        json_schema_extra=FOLDED,
        description="All but Parquet. infer (the default) looks at the first rows; text keeps every cell as text; "
        "an object gives the type of some columns.",
    )


class FilesQuery(ReaderOptions):
    """One file (``{"table": ["flights.csv"]}``), one sheet (``["book.xlsx", "2024"]``) or the files of a pattern."""

    table: list[Name] | None = Field(
        None,
        title="File",
        min_length=1,
        max_length=2,
        description="The file's path in the folder, and a sheet's name.",
        examples=[["sales/2024.csv"], ["book.xlsx", "2024"]],
    )
    pattern: Name | None = Field(
        None,
        title="Pattern",
        description="Files read as one, columns matched by name: * within a name, ** for folders, ?, [abc].",
        examples=["sales/*.csv"],
    )
    file_column: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, title="File column", description="Name of a first column that tells each row's file."
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.table is None) == (self.pattern is None):
            raise ValueError("Give either a file (table) or a pattern.")
        if self.table is not None and len(self.table) == 2 and self.sheet not in (None, self.table[1]):
            raise ValueError("The sheet is named twice, differently.")
        return self
