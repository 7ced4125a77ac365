"""The names of systemd units."""

import pytest

from appagent.host.units import mount_unit


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ("/files", "files.mount"),
        ("/srv/my files", r"srv-my\x20files.mount"),
        ("/a-b/c", r"a\x2db-c.mount"),
        ("/.hidden", r"\x2ehidden.mount"),
        ("/größe", r"gr\xc3\xb6\xc3\x9fe.mount"),
        ("/", "-.mount"),
    ],
)
def test_the_name_of_a_mount_unit_is_escaped_as_systemd_does(point: str, name: str) -> None:
    assert mount_unit(point) == name
