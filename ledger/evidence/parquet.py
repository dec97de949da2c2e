"""A month of history as Parquet: written from the rows, and recounted from the files alone.

Rows stand in the order of buckets and ids, with their columns typed, so that other tools read them
too. Whoever reads them back packs them as they were hashed and computes the chain again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import file_digest, sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, DateTime, Integer, LargeBinary, SmallInteger, Table

from ledger.binary import instant, line_row, operation_row
from ledger.chain import leaf, merkle_root
from ledger.tables import blocks, lines, operations

from .edges import Edges, edges_from_file
from .history import StoredBlock
from .judging import is_written
from .seal import NotGenuine, Seal, SealedBucket, from_file, hash_from, root_of

FORMAT: Final = "kopilka archive 1"
MANIFEST: Final = "manifest.json"
TABLES: Final = {table.name: table for table in (operations, lines, blocks)}

_ROWS_AT_ONCE: Final = 5_000


class ArchiveExtraMissing(Exception):
    """Parquet needs pyarrow, which comes with the extra `archive`."""


@dataclass(frozen=True, slots=True)
class BucketSpan:
    """The blocks of one bucket in a month: where they begin and end, and what the first links to."""

    bucket: int
    first_height: int
    blocks: int
    previous: bytes
    hash: bytes


class TableFile:
    """One table's file while it is written: a row group for every few thousand rows."""

    def __init__(self, folder: Path, table: Table) -> None:
        arrow, parquet = _pyarrow()
        self.path = folder / f"{table.name}.parquet"
        self._schema = arrow.schema([(column.name, _type(column.type)) for column in table.columns])
        self._writer = parquet.ParquetWriter(self.path, self._schema, compression="zstd")
        self.rows = 0

    def write(self, rows: Sequence[Any]) -> None:
        """Append rows, their columns in the table's order."""
        arrow, _ = _pyarrow()
        columns = zip(*rows, strict=True)
        arrays = [arrow.array(list(c), field.type) for c, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(arrow.Table.from_arrays(arrays, schema=self._schema))
        self.rows += len(rows)

    def close(self) -> dict[str, Any]:
        """Finish the file; what the manifest says of it."""
        self._writer.close()
        return {"rows": self.rows, "sha256": _sha256(self.path)}


async def write_table(folder: Path, table: Table, pages: AsyncIterator[Sequence[Any]]) -> dict[str, Any]:
    """Write a table's rows, which come in pages; what the manifest says of the file."""
    file = TableFile(folder, table)
    async for page in pages:
        file.write(page)
    return file.close()


@dataclass(frozen=True, slots=True)
class Verified:
    """An archive that was recounted. `digest` is its manifest's.

    `unchecked` names buckets that older versions archived without the edges of a period: nothing
    shows that they lack no block there.
    """

    manifest: dict[str, Any]
    digest: bytes
    seals: tuple[Seal, ...]
    unchecked: tuple[str, ...]


def verify(folder: Path) -> Verified:
    """Recount an archive from its files alone.

    Every hash is computed again from the rows; the blocks must hang together, begin and end where
    the manifest says, and lead to the seals of their periods with nothing missing.
    Raises `NotGenuine`, `ArchiveExtraMissing`.
    """
    written, manifest = _manifest(folder)
    try:
        seals, unchecked = _checked(folder, manifest)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotGenuine(f"the archive is damaged: {error}") from None
    return Verified(manifest, sha256(written).digest(), tuple(seals), tuple(unchecked))


def _checked(folder: Path, manifest: Mapping[str, Any]) -> tuple[list[Seal], list[str]]:
    """The seals of an archive's periods, and the buckets that could not be led to them."""
    month = date.fromisoformat(f"{manifest['month']}-01")
    for name in TABLES:
        said = manifest["tables"][name]
        if _sha256(folder / f"{name}.parquet") != said["sha256"]:
            raise NotGenuine(f"{name}.parquet is not the file that was archived")
    found = dict(_recounted(folder, manifest))
    spans = {span["bucket"]: span for span in manifest["buckets"]}
    ended = {bucket: blocks_[-1] for bucket, blocks_ in found.items() if blocks_}
    if ended.keys() != spans.keys():
        raise NotGenuine("the buckets of the files are not those of the manifest")
    for bucket, span in spans.items():
        if ended[bucket].hash != hash_from(span["hash"]):
            raise NotGenuine(f"bucket {bucket} does not end with the block that the manifest names")
    seals: list[Seal] = []
    unchecked: list[str] = []
    for period in manifest["periods"]:
        seals.append(from_file(period["seal"])[0])
        unchecked += _led_to_seal(period, seals[-1], month, found)
    if {block.period for own in found.values() for block in own} - {seal.period for seal in seals}:
        raise NotGenuine("a period of the files has no seal")
    return seals, unchecked


def _recounted(folder: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[int, list[StoredBlock]]]:
    """The blocks of each bucket, recounted from its operations and lines."""
    operation_rows = _Cursor(folder, operations)
    line_rows = _Cursor(folder, lines)
    block_rows = _Cursor(folder, blocks)
    for span in manifest["buckets"]:
        previous, height = hash_from(span["previous"]), span["first_height"]
        found: list[StoredBlock] = []
        for row in block_rows.take(lambda row, bucket=span["bucket"]: row["bucket"] == bucket):
            block = StoredBlock(**{**row, "flows": _numbers(row["flows"]), "stock": _numbers(row["stock"])})
            leaves = []
            for operation in operation_rows.take(lambda row, block=block: _is_of(row, block)):
                own = line_rows.take(lambda line, id_=operation["id"]: line["operation"] == id_)
                leaves.append(_leaf(operation, own))
            follows = block.height == height and block.previous == previous and block.count == len(leaves)
            if not follows or merkle_root(leaves) != block.root or not is_written(block):
                raise NotGenuine(f"block {block.height} of bucket {block.bucket} is not what was written")
            # What a block moved has been counted into its hash, and is not needed any more.
            found.append(StoredBlock(**{**row, "flows": None, "stock": None}))
            previous, height = block.hash, height + 1
        yield span["bucket"], found
    for cursor in (operation_rows, line_rows, block_rows):
        if cursor.head is not None:
            raise NotGenuine("rows are left over that belong to no block")


def _is_of(row: Mapping[str, Any], block: StoredBlock) -> bool:
    return bool(row["bucket"] == block.bucket and row["height"] == block.height)


def _leaf(operation: Mapping[str, Any], own: Iterator[Mapping[str, Any]]) -> bytes:
    *values, salt = operation.values()
    values[2], values[10] = instant(operation["recorded_at"]), instant(operation["occurred_at"])
    packed = [_packed(line) for line in own]
    return leaf(salt, operation_row(*values), b"".join(packed))


def _packed(line: Mapping[str, Any]) -> bytes:
    values = [*line.values()]
    values[3], values[9] = instant(line["recorded_at"]), line["unit"].encode()
    return line_row(*values)


def _led_to_seal(
    said: Mapping[str, Any], seal: Seal, month: date, found: Mapping[int, Sequence[StoredBlock]]
) -> Iterator[str]:
    """Lead the blocks that were recounted to a period's seal; the buckets that cannot be."""
    sealed = [
        SealedBucket(
            each["bucket"], each["first_height"], each["blocks"], each["operations"], hash_from(each["root"])
        )
        for each in said["buckets"]
    ]
    if root_of(sealed) != seal.root:
        raise NotGenuine(f"the buckets of period {seal.period} are not those that were sealed")
    for bucket, told in zip(sealed, said["buckets"], strict=True):
        here = [block for block in found.get(bucket.bucket, ()) if block.period == seal.period]
        if "edges" in told:
            edges_from_file(told["edges"]).check(bucket, seal.period, month, here)
        elif len(here) == bucket.blocks:
            Edges(None, None, ()).check(bucket, seal.period, month, here)
        else:
            yield f"bucket {bucket.bucket} in period {seal.period}"


class _Cursor:
    """The rows of a file one after another, a few thousand in memory at a time."""

    def __init__(self, folder: Path, table: Table) -> None:
        _, parquet = _pyarrow()
        self._rows = self._read(parquet.ParquetFile(folder / f"{table.name}.parquet"))
        self.head: dict[str, Any] | None = next(self._rows, None)

    def take(self, belongs: Any) -> Iterator[dict[str, Any]]:
        """Rows from here on, for as long as they belong."""
        while self.head is not None and belongs(self.head):
            row, self.head = self.head, next(self._rows, None)
            yield row

    @staticmethod
    def _read(file: Any) -> Iterator[dict[str, Any]]:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            yield from batch.to_pylist()


def _manifest(folder: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        written = (folder / MANIFEST).read_bytes()
        manifest: Any = json.loads(written)
    except (OSError, ValueError):
        raise NotGenuine(f"{folder} has no {MANIFEST} that can be read") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise NotGenuine(f"{folder} is no archive of this version")
    return written, dict(manifest)


def _numbers(values: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise NotGenuine(f"{file} cannot be read: {error}") from None


def _type(type_: Any) -> Any:
    arrow, _ = _pyarrow()
    if isinstance(type_, ARRAY):
        return arrow.list_(arrow.int64())
    if isinstance(type_, DateTime):
        return arrow.timestamp("us", tz="UTC")
    if isinstance(type_, LargeBinary):
        return arrow.binary()
    if isinstance(type_, SmallInteger):
        return arrow.int16()
    if isinstance(type_, BigInteger):
        return arrow.int64()
    return arrow.int32() if isinstance(type_, Integer) else arrow.string()


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise ArchiveExtraMissing("archives need pyarrow: install kopilka[archive]") from None
