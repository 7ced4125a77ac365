"""The machine around the agent: hand-made figures and texts → findings."""

import os
from pathlib import Path

import pytest

from appagent.doctor import agent, machine, state_dirs, users
from appagent.doctor.apps import App
from appagent.doctor.checks import ambiguous
from appagent.doctor.finding import Finding, Level
from appagent.host.mounts import Mounts

MIB = 1 << 20


def levels(findings: object) -> list[Level]:
    return [one.level for one in findings if isinstance(one, Finding)]  # type: ignore[attr-defined]


# --- software ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "level"),
    [
        ("/usr/bin/make", "GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu\n", Level.OK),
        ("/usr/bin/make", "GNU Make 3.82\n", Level.OK),
        ("/usr/bin/make", "GNU Make 3.81\n", Level.PROBLEM),
        ("/usr/bin/make", "bmake: unknown option -- -\n", Level.PROBLEM),
        ("/usr/bin/make", "", Level.PROBLEM),
        (None, "", Level.PROBLEM),
    ],
)
def test_make(path: str | None, text: str, level: Level) -> None:
    assert machine.judge_make(path, text).level is level


# --- systemd, OpenRC, control groups -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("systemd 252 (252.39-1~deb12u2)\n+PAM", Level.OK),
        ("systemd 257 (257.1)", Level.OK),
        ("systemd 249 (249.11)", Level.NOTE),
        ("systemd 241 (241)", Level.WARNING),
        ("systemd 219", Level.PROBLEM),
        ("", Level.WARNING),
    ],
)
def test_versions_of_systemd(text: str, level: Level) -> None:
    assert levels(machine.judge_systemd(text))[0] is level


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"/etc/rc.conf": '#rc_cgroup_cleanup="YES"\n'}, []),
        ({"/etc/rc.conf": 'rc_cgroup_cleanup="YES"\n'}, [Level.PROBLEM]),
        ({"/etc/rc.conf": "rc_cgroup_cleanup=yes\n", "/etc/conf.d/appagent": ""}, [Level.PROBLEM]),
        ({"a": "rc_cgroup_cleanup=yes\n", "b": 'rc_cgroup_cleanup="no"\n'}, []),
        ({}, []),
    ],
)
def test_openrc_must_not_clean_up_after_the_agent(
    texts: dict[str, str], expected: list[Level]
) -> None:
    assert levels(machine.judge_openrc(texts)) == expected


@pytest.mark.parametrize(
    ("fstype", "systemd", "level"),
    [
        ("cgroup2", True, Level.OK),
        ("tmpfs", True, Level.WARNING),
        ("tmpfs", False, Level.NOTE),
        ("", True, Level.NOTE),
    ],
)
def test_control_groups(fstype: str, systemd: bool, level: Level) -> None:
    line = f"25 22 0:23 / /sys/fs/cgroup rw - {fstype} x rw\n" if fstype else ""
    assert levels(machine.groups(Mounts(line), systemd=systemd)) == [level]


def test_an_agent_that_lies_on_a_share_itself_is_a_warning() -> None:
    table = "22 1 254:0 / / rw - ext4 a rw\n30 22 0:50 / /opt rw - nfs4 fs1:/opt rw\n"
    assert levels(machine.installation(Mounts(table), ["/opt/appagent/current"])) == [Level.WARNING]
    assert levels(machine.installation(Mounts(table), ["/usr/lib/python3"])) == []


# --- limits --------------------------------------------------------------------------------------


def test_the_clock() -> None:
    assert machine.judge_clock(0x2001).level is Level.OK
    assert machine.judge_clock(0x2041).level is Level.WARNING
    assert len(levels(machine.clock())) == 1


@pytest.mark.parametrize(
    ("unit", "level"),
    [("1024", Level.OK), ("256", Level.WARNING)],
)
def test_open_files_of_a_service(unit: str, level: Level) -> None:
    show = {"LoadState": "loaded", "LimitNOFILESoft": unit}
    assert levels(agent.open_files(0, show))[0] is level


def test_open_files_of_an_agent_that_runs() -> None:
    show = {"LoadState": "loaded", "LimitNOFILESoft": "1"}
    found, *_ = agent.open_files(os.getpid(), show)
    assert found.text.startswith("the agent may open ")


# --- users ---------------------------------------------------------------------------------------


def test_a_user_to_run_as_that_is_not_known_is_a_problem_for_root_alone() -> None:
    line = "f.yaml:3: roots[/r].run_as: no user web is known on this machine"
    assert users.judge(line, root=True).level is Level.PROBLEM
    assert users.judge(line, root=False).level is Level.WARNING
    line = "f.yaml:4: roots[/r].trusted_owners: no user or group x is known"
    assert users.judge(line, root=True).level is Level.WARNING


# --- state and runtime ---------------------------------------------------------------------------


def status(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("found", "me", "expected"),
    [
        (status(0o40700), (0, 0), []),
        (status(0o40775, gid=0), (0, 0), []),
        (status(0o40775, gid=50), (0, 0), [Level.PROBLEM]),
        (status(0o40777), (0, 0), [Level.PROBLEM]),
        (status(0o40700, uid=33), (0, 0), [Level.PROBLEM]),
        (status(0o40700, uid=33), (33, 33), []),
        (status(0o40700, uid=0), (33, 33), [Level.NOTE]),
        (status(0o100700), (0, 0), [Level.PROBLEM]),
    ],
)
def test_who_may_write_the_state(
    found: os.stat_result, me: tuple[int, int], expected: list[Level]
) -> None:
    assert levels(state_dirs.judge_status("state_dir", "/s", found, me)) == expected


def disk(free: int, inodes: int = 10**6, files: int = 10**7) -> os.statvfs_result:
    values = (4096, 4096, 10**9, free * 256, free * 256, files, inodes, inodes, 0, 255, 0)
    return os.statvfs_result(values)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (disk(5000), []),
        (disk(50), [Level.WARNING]),
        (disk(3), [Level.PROBLEM]),
        (disk(5000, inodes=100), [Level.WARNING]),
        (disk(5000, inodes=3), [Level.PROBLEM]),
        (disk(5000, inodes=0, files=0), []),
    ],
)
def test_room_for_the_state(found: os.statvfs_result, expected: list[Level]) -> None:
    assert levels(state_dirs.judge_space("state_dir", "/s", found, root=True)) == expected


def test_a_state_that_is_lost_with_a_reboot_is_a_warning(tmp_path: Path) -> None:
    def found(key: str, fstype: str) -> list[Level]:
        table = f"22 1 0:1 / / rw - {fstype} x rw\n"
        return levels(state_dirs.check(key, str(tmp_path), Mounts(table)))

    assert found("state_dir", "tmpfs")[:1] == [Level.WARNING]
    assert Level.WARNING not in found("state_dir", "ext4")
    assert Level.WARNING not in found("runtime_dir", "tmpfs")


def test_a_state_on_a_share_is_a_problem_and_is_not_touched() -> None:
    table = "30 22 0:50 / /share rw - fuse.glusterfs fs1:/files rw\n"
    found = state_dirs.check("state_dir", "/share/state", Mounts(table))
    assert levels(found) == [Level.PROBLEM]


# --- the agent that runs -------------------------------------------------------------------------


def test_the_holder_of_a_lock_is_who_has_it_open(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.write_text(f"{os.getpid()}\n")
    assert agent.holder(file) == 0  # the pid in it means nothing by itself
    with file.open():
        assert agent.holder(file) == os.getpid()
    assert agent.holder(tmp_path / "other") == 0


# --- together ------------------------------------------------------------------------------------


def test_a_name_in_two_roots_is_a_problem() -> None:
    seen = [
        App("web", "/a"),
        App("api", "/a"),
        App("web", "/b"),
    ]
    found = list(ambiguous(seen))
    assert levels(found) == [Level.PROBLEM]
    assert found[0].about == "app web"
    assert "/a and in /b" in found[0].text
