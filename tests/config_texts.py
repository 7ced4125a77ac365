"""What the tests of the configuration share: a minimal one, and how it is written and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from appagent.config import ConfigErrors, Loaded, Machine, load
from appagent.model.settings import Settings

AS_ROOT = Machine(host="app1", cores=2, root=True)
AS_PERSON = Machine(host="app1", cores=2, root=False)

# Enough to be right; what is appended to it begins in line 4, and may go on with the root.
GOOD = "roots:\n  - path: /files/production\n    run_as: www-data\n"


def written(directory: Path, text: str | bytes, name: str = "appagent.yaml") -> Path:
    """Write a file of the configuration."""
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o644)  # whatever the umask is: what others may write is a warning
    return path


def errors_of(path: Path | str, machine: Machine = AS_ROOT) -> tuple[str, ...]:
    """Load what must be refused, and give the lines that say why, without the directory."""
    with pytest.raises(ConfigErrors) as refused:
        load(str(path), machine)
    assert str(refused.value) == "\n".join(refused.value.errors)
    assert all(line.isprintable() for line in refused.value.errors)
    directory = str(Path(path).parent) + "/"
    return tuple(line.replace(directory, "") for line in refused.value.errors)


def loaded(directory: Path, machine: Machine = AS_ROOT, **files: str) -> Loaded:
    """Load a configuration: `main`, and whatever else is to lie in conf.d."""
    (directory / "conf.d").mkdir(exist_ok=True)
    for name, text in files.items():
        below = "appagent.yaml" if name == "main" else f"conf.d/{name}.yaml"
        written(directory, text, below)
    return load(str(directory / "appagent.yaml"), machine)


def of(directory: Path, text: str) -> Settings:
    """Load what is appended to a minimal configuration."""
    return loaded(directory, main=GOOD + text).settings
