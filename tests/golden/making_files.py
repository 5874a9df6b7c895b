"""How golden stores are packed: with the standard library alone, for programs of every revision."""

from __future__ import annotations

import tarfile
from pathlib import Path


def pack(store: Path, archive: Path) -> None:
    """Pack a store without what belongs to no finished store; the same files give the same archive."""
    left_out = {"LOCK", "LOCK.holder", "metadata.db-wal", "metadata.db-shm"}

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return None if Path(entry.name).name in left_out else entry

    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz", preset=9) as file:
        for path in sorted(store.iterdir()):
            file.add(path, arcname=path.name, filter=plain)
