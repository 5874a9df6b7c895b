"""The wheel holds what an installation needs, and works where there is no checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from command import environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

TRY = """
import sys
from pathlib import Path
import olrsearch
home = Path(olrsearch.__file__).parent
assert home.is_relative_to(sys.argv[1]), home
from olrsearch.apps.cli import run
assert run(['--store', 'store', 'store', 'create']) == 0
assert run(['--store', 'store', 'store', 'info', '--json']) == 0
assert run(['--store', 'store', 'store', 'migrate']) == 0
from olrsearch.search.index.recipe import load_recipe, recipe_names
assert {'exact', 'hnsw'} <= set(recipe_names())
assert load_recipe('exact').recall_at_10 == 1.0
from olrsearch.sheets import Sheet, write_sheet
assert write_sheet(Sheet('heading', 'summary', ()), 'sheet.html').stat().st_size > 1000
from olrsearch.core.resources import migrations_dir, recipes_dir
for folder in (migrations_dir(), recipes_dir()):
    assert folder.is_relative_to(sys.argv[1]), folder
print('fine')
"""


# What is shipped is used: pictures without labels, an encoder that nobody named, no network.
TRY_SHIPPED = """
import pathlib, socket, sys
def refused(*_, **__):
    raise AssertionError('the network was touched')
socket.create_connection = socket.getaddrinfo = refused
socket.socket.connect = refused
import olrsearch
(entry,) = olrsearch.shipped_encoders()
assert entry.path.is_relative_to(sys.argv[1]), entry.path
from olrsearch.apps.cli import run
pictures = sys.argv[2]
assert run(['encoders', 'list']) == 0
assert run(['encoders', 'info', 'faces', '--card']) == 0
assert run(['--store', 'store', 'import', 'folder', pictures]) == 0
assert run(['--store', 'store', 'encode']) == 0
assert run(['--store', 'store', 'search', 'bright & !red', '-k', '3', '--json']) == 0
print('fine')
"""


def pip(*arguments, source=ROOT):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=280,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ".", "--no-deps", "--no-build-isolation", "-w", folder)
    (found,) = folder.glob("olrsearch-*.whl")
    return found


def test_the_wheel_holds_the_package_and_its_resources(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "olrsearch").rglob("*.py")}
    assert package <= names
    assert "olrsearch/sheets/sheet.html.jinja" in names
    assert "olrsearch/encoders/folder/model_card.md.jinja" in names
    models = (path for path in (ROOT / "olrsearch" / "encoders" / "models").rglob("*") if path.is_file())
    assert {path.relative_to(ROOT).as_posix() for path in models} <= names
    migrations = (ROOT / "migrations" / "versions").glob("*.py")
    assert {f"olrsearch/_resources/migrations/versions/{path.name}" for path in migrations} <= names
    recipes = (ROOT / "indexes" / "recipes").glob("*.toml")
    assert {f"olrsearch/_resources/recipes/{path.name}" for path in recipes} <= names
    assert not [name for name in names if name.split("/")[0] != "olrsearch" and ".dist-info/" not in name]


def test_an_installed_wheel_works_without_a_checkout(wheel, tmp_path):
    pip("install", "--no-deps", "--no-index", "--target", tmp_path / "installed", wheel)
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", TRY, str(tmp_path / "installed")],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONPATH=str(tmp_path / "installed")),
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "fine"
    entry = (next((tmp_path / "installed").glob("olrsearch-*.dist-info")) / "entry_points.txt").read_text()
    assert "olrsearch = olrsearch.apps.cli:main" in entry


@pytest.fixture(scope="module")
def checkout(published, tmp_path_factory):
    """A copy of what is built, with an encoder to ship."""
    copy = tmp_path_factory.mktemp("checkout") / "olrsearch"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    for name in ("olrsearch", "migrations", "indexes/recipes"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
        )
    shutil.rmtree(copy / "olrsearch" / "encoders" / "models")
    shutil.copytree(published.folder, copy / "olrsearch" / "encoders" / "models" / "faces")
    return copy


SHIPPED = ("MODEL_CARD.md", "card.json", "config.json", "defaults.json", "weights.safetensors")


def test_a_wheel_carries_the_encoders_and_uses_them(checkout, published, gallery, tmp_path):
    pip("wheel", ".", "--no-deps", "--no-build-isolation", "-w", tmp_path, source=checkout)
    (wheel,) = tmp_path.glob("olrsearch-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in SHIPPED:
            packed = archive.read(f"olrsearch/encoders/models/faces/{name}")
            assert packed == (published.folder / name).read_bytes()
    pip("install", "--no-deps", "--no-index", "--target", tmp_path / "installed", wheel)
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", TRY_SHIPPED, str(tmp_path / "installed"), str(gallery.data)],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=False,
        # What is shipped here is of a kind that a plug-in brings.
        env=environment(PYTHONPATH=f"{tmp_path / 'installed'}{os.pathsep}{ROOT / 'tests'}"),
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "fine"
    assert "using faces, which comes with olrsearch" in done.stderr


def test_the_sdist_carries_the_encoders_too(checkout, published, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    (sdist,) = tmp_path.glob("olrsearch-*.tar.gz")
    with tarfile.open(sdist) as archive:
        root = sdist.name.removesuffix(".tar.gz")
        for name in SHIPPED:
            packed = archive.extractfile(f"{root}/olrsearch/encoders/models/faces/{name}")
            assert packed.read() == (published.folder / name).read_bytes()
