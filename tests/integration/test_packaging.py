"""The wheel: what is in it, and that it alone puts appagent on a node."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ("appagent", "systemd", "pyproject.toml", "README.md", "LICENSE", "constraints.txt")


def copy_of_the_sources(into: Path) -> Path:
    """Copy what the wheel is made of: building leaves files beside the sources."""
    nothing = shutil.ignore_patterns("__pycache__")
    for name in (*SOURCES, "examples"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=nothing)
        else:
            shutil.copy(source, into / name)
    return into


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = copy_of_the_sources(tmp_path_factory.mktemp("sources"))
    out = tmp_path_factory.mktemp("wheel")
    words = ["build", "-q", "--wheel", "--no-isolation", "-o", str(out), str(sources)]
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel as the README says, but for what it depends on: that is taken from here."""
    venv = tmp_path_factory.mktemp("node") / "opt" / "appagent" / "versions" / "1"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "from-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    return venv


def test_the_wheel_has_the_code_the_types_and_the_units_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    code = {it for it in names if it.startswith("appagent/")}
    here = {
        str(it.relative_to(REPOSITORY))
        for it in (REPOSITORY / "appagent").rglob("*")
        if it.suffix == ".py" or it.name == "py.typed"
    }
    assert code == here
    others = [it for it in names if it not in code]
    assert all(it.startswith("appagent-") for it in others), others
    assert any(it.endswith("/share/appagent/appagent.service") for it in others)
    assert any(it.endswith("/licenses/LICENSE") for it in others)


def test_the_installed_command_runs(venv: Path) -> None:
    command = [str(venv / "bin" / "appagent"), "--help"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "check-config" in done.stdout


def put_in_place(venv: Path, root: Path) -> None:
    command = ["sh", str(venv / "share" / "appagent" / "put-in-place")]
    subprocess.run(command, env={**os.environ, "DESTDIR": str(root)}, check=True)


def test_the_wheel_alone_puts_all_in_its_place(venv: Path, tmp_path: Path) -> None:
    base = venv.parents[1]
    put_in_place(venv, tmp_path)
    assert (base / "current").resolve() == venv
    assert (tmp_path / "usr/local/bin/appagent").resolve() == venv / "bin" / "appagent"
    assert (tmp_path / "etc/appagent/conf.d").is_dir()
    example = (tmp_path / "etc/appagent/appagent.yaml.example").read_text()
    assert example == (REPOSITORY / "examples" / "appagent.yaml").read_text()
    if shutil.which("systemctl"):
        unit = (tmp_path / "usr/local/lib/systemd/system/appagent.service").read_text()
        assert f"ExecStart={base}/current/bin/appagent run\n" in unit
        wanted = tmp_path / "etc/systemd/system/multi-user.target.wants/appagent.service"
        assert wanted.is_symlink()


def test_it_may_be_put_in_place_again_and_leaves_what_a_person_wrote(
    venv: Path, tmp_path: Path
) -> None:
    put_in_place(venv, tmp_path)
    config = tmp_path / "etc/appagent/appagent.yaml"
    config.write_text("environment: mine\n")
    own = tmp_path / "etc/systemd/system/appagent.service"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("[Service]\nExecStart=/bin/true\n")
    put_in_place(venv, tmp_path)
    assert config.read_text() == "environment: mine\n"
    assert own.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert not list(tmp_path.rglob("*.new"))
