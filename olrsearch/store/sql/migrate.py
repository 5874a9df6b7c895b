"""The revision of a store's tables: read it fast, bring it up to date with Alembic.

A store's tables are at one Alembic revision, `0001`, `0002`, …. Opening a store reads it
with one plain SELECT and compares; alembic itself is imported only to migrate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch._version import __version__
from olrsearch.core.errors import StoreVersionError
from olrsearch.core.resources import migrations_dir

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0006"
"""The newest revision in `migrations/versions`, the only one this program works with."""


def check_revision(found: str, *, where: str, migrated_by: str) -> None:
    """Refuses tables of another revision than this program's.

    Args:
        found: The revision read from `alembic_version`.
        where: The store, for the message.
        migrated_by: The version of olrsearch that brought the tables there.

    Raises:
        StoreVersionError: with the version to install, or the command to run.
    """
    if found == HEAD:
        return
    if found > HEAD:
        raise StoreVersionError(
            f"{where} has tables of revision {found}, written by olrsearch {migrated_by}; olrsearch"
            f" {__version__} knows up to {HEAD}: install olrsearch {migrated_by} or newer"
        )
    raise StoreVersionError(
        f"{where} has tables of revision {found}, olrsearch {__version__} needs {HEAD}: run `olrsearch store"
        " migrate`"
    )


def upgrade(connection: Connection) -> None:
    """Brings the tables to `HEAD` inside the connection's transaction.

    Nothing is committed here: the caller's transaction holds all of it or none.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
