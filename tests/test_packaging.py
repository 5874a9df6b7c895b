"""The wheel holds what an installation needs, and works where there is no checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command import environment

ROOT = Path(__file__).parents[1]

TRY = """
import sys
from pathlib import Path
import olrsearch
home = Path(olrsearch.__file__).parent
assert home.is_relative_to(sys.argv[1]), home
from olrsearch.cli import run
assert run(['--store', 'store', 'store', 'create']) == 0
assert run(['--store', 'store', 'store', 'info', '--json']) == 0
assert run(['--store', 'store', 'store', 'migrate']) == 0
from olrsearch.index.recipe import load_recipe, recipe_names
assert {'exact', 'hnsw'} <= set(recipe_names())
assert load_recipe('exact').recall_at_10 == 1.0
from olrsearch.sheets import Sheet, write_sheet
assert write_sheet(Sheet('heading', 'summary', ()), 'sheet.html').stat().st_size > 1000
from olrsearch._resources import migrations_dir, recipes_dir
for folder in (migrations_dir(), recipes_dir()):
    assert folder.is_relative_to(sys.argv[1]), folder
print('fine')
"""


def pip(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)],
        cwd=ROOT,
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
    assert "olrsearch = olrsearch.cli:main" in entry
