"""Stores to test with, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from olrsearch.store import Backend
from olrsearch.store.files import SUMS, StoreFile
from olrsearch.store.sql.database import postgres_engine, schema_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Stores:
    """Makes stores and cleans up after them."""

    folder: Path
    url: str | None
    stack: ExitStack
    empty: Path | None
    ids: list[str] = field(default_factory=list)

    def create(self, name: str = "store") -> Backend:
        if self.url is None and self.empty is not None:
            return self.open(_another(self.empty, self.folder / name))
        store = Backend.create(self.folder / name, database_url=self.url)
        self.ids.append(store.about.store_id)
        return self.stack.enter_context(store)

    def open(self, path: Path, *, read_only: bool = False) -> Backend:
        return self.stack.enter_context(Backend.open(path, read_only=read_only, database_url=self.url))


def _another(empty: Path, path: Path) -> Path:
    """A copy that is a store of its own."""
    shutil.copytree(empty, path)
    about = StoreFile.new("sqlite")
    about.write(path)
    with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
        connection.execute("UPDATE store SET store_id = ?", (about.store_id,))
    (path / SUMS).unlink()  # of the other store
    return path


def _stores(folder: Path, url: str | None, empty: Path | None) -> Iterator[Stores]:
    with ExitStack() as stack:
        stores = Stores(folder, url, stack, empty)
        yield stores
    if url is not None:
        engine = postgres_engine(url, None, read_only=False)
        with engine.begin() as connection:
            for number in stores.ids:
                connection.execute(text(f"DROP SCHEMA IF EXISTS {schema_name(number)} CASCADE"))
        engine.dispose()


@pytest.fixture(autouse=True)
def _no_database_from_outside(monkeypatch):
    monkeypatch.delenv("OLRSEARCH_DATABASE_URL", raising=False)


@pytest.fixture
def postgres_url() -> str:
    url = os.environ.get("OLRSEARCH_TEST_POSTGRES")
    if not url:
        pytest.skip(
            "OLRSEARCH_TEST_POSTGRES names no PostgreSQL to test with (bash .ci/postgres.sh starts one)"
        )
    return url


@pytest.fixture(scope="session")
def empty(tmp_path_factory) -> Path | None:
    """An empty store, for SQLite's tests to copy: its tables take long to make. None has each made anew."""
    path = tmp_path_factory.mktemp("empty") / "store"
    Backend.create(path).close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def stores(request, tmp_path, empty) -> Iterator[Stores]:
    """Both kinds of store: the same tests for each."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    yield from _stores(tmp_path, url, empty)


@pytest.fixture
def sqlite_stores(tmp_path, empty) -> Iterator[Stores]:
    """SQLite alone, for what concerns its files."""
    yield from _stores(tmp_path, None, empty)
