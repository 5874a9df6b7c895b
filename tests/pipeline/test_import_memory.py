"""An import stays below a gigabyte, whatever images it meets."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from command import environment

BOUND = 1_000_000_000
"""Bytes, as docs/datasets.md promises."""

IMPORT = """
import sys
from pathlib import Path
from olrsearch.apps.cli import run
run(sys.argv[1:])
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, width, height, *, depth, colour, pixel):
    """A PNG of zeros, made without its pixels."""
    packer = zlib.compressobj(1)
    row = bytes(1 + width * pixel)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it")
def test_an_import_of_large_images_stays_within_the_bound(tmp_path):
    """One of these took 3 GB, and four were decoded at once."""
    folder = tmp_path / "large"
    folder.mkdir()
    write_png(folder / "grey16-0.png", 9400, 9400, depth=16, colour=0, pixel=2)
    write_png(folder / "rgba-0.png", 8000, 8000, depth=8, colour=6, pixel=4)
    for number in (1, 2):
        for kind in ("grey16", "rgba"):
            (folder / f"{kind}-{number}.png").hardlink_to(folder / f"{kind}-0.png")
    write_png(folder / "tall.png", 1, 89_000_000 // 100, depth=8, colour=0, pixel=1)
    tall = bytearray((folder / "tall.png").read_bytes())
    tall[16:33] = (header := struct.pack(">IIBBBBB", 1, 89_000_000, 8, 0, 0, 0, 0)) + struct.pack(
        ">I", zlib.crc32(b"IHDR" + header)
    )
    (folder / "tall.png").write_bytes(tall)
    called = subprocess.run(
        [sys.executable, "-c", IMPORT, "--store", tmp_path / "store", "import", "folder", folder, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        check=True,
    )
    report, peak = called.stdout.splitlines()
    assert json.loads(report)["added"] == 6
    (failed,) = json.loads(report)["failed"]
    assert failed["key"] == "tall.png"
    assert "1 × 89000000 pixels: as PNG they take" in failed["reason"]
    assert int(peak) < BOUND
