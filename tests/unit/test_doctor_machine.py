"""The machine around the agent: hand-made figures and texts → findings."""

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from appagent.doctor import agent, limits, machine, software, state_dirs, users
from appagent.doctor.checks import twice
from appagent.doctor.finding import Finding, Level
from appagent.host.mounts import Mount
from appagent.model.words import Layout

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
    assert software.judge_make(path, text).level is level


def test_packages_are_judged_by_what_is_asked_for() -> None:
    has = {"watchdog": "7.1.0", "psutil": "5.9.8", "structlog": "24.1.0"}

    def version_of(name: str) -> str:
        try:
            return has[name]
        except KeyError:
            raise PackageNotFoundError(name) from None

    needs = [
        "watchdog>=7.1",
        "psutil>=6",
        "structlog>=24.1",
        "sdnotify>=0.3.2",
        'ruff>=0.6; extra == "dev"',
    ]
    found = list(software.packages(needs, version_of))
    assert [(one.level.value, one.text) for one in found] == [
        ("problem", "psutil 5.9.8 is older than 6"),
        ("problem", "the package sdnotify is not installed"),
        ("ok", "watchdog 7.1.0, structlog 24.1.0"),
    ]


def test_packages_of_an_agent_that_is_not_installed_are_a_note() -> None:
    assert levels(software.packages([], str)) == [Level.NOTE]


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
    assert machine.judge_version(text).level is level


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
    assert levels(machine.groups(line, systemd=systemd)) == [level]


def test_an_agent_that_lies_on_a_share_itself_is_a_warning() -> None:
    table = "22 1 254:0 / / rw - ext4 a rw\n30 22 0:50 / /opt rw - nfs4 fs1:/opt rw\n"
    assert levels(machine.interpreter(table, ["/opt/appagent/current"])) == [Level.WARNING]
    assert levels(machine.interpreter(table, ["/usr/lib/python3"])) == []


# --- limits --------------------------------------------------------------------------------------


def test_the_clock() -> None:
    assert limits.judge_clock(0x2001).level is Level.OK
    assert limits.judge_clock(0x2041).level is Level.WARNING
    assert len(levels(limits.clock())) == 1


@pytest.mark.parametrize(
    ("needed", "used", "level"),
    [
        (100, (0, 0), Level.OK),
        (8192, (0, 10), Level.OK),
        (8193, (0, 10), Level.WARNING),
        (10, (8190, 10), Level.WARNING),
        (10, (10, 128), Level.WARNING),
    ],
)
def test_inotify(needed: int, used: tuple[int, int], level: Level) -> None:
    bounds = {"max_user_watches": 8192, "max_user_instances": 128}
    found = limits.judge_inotify(needed, used, bounds)
    assert found.level is level
    assert bool(found.do) is (level is Level.WARNING)


@pytest.mark.parametrize(
    ("unit", "level"),
    [(("524288", "1024"), Level.OK), (("524288", "256"), Level.WARNING)],
)
def test_open_files_of_a_service(unit: tuple[str, str], level: Level) -> None:
    assert levels(limits.files(0, unit))[0] is level


def test_open_files_of_an_agent_that_runs() -> None:
    (found, *_) = (one for one in limits.files(os.getpid(), ("1", "1")) if isinstance(one, Finding))
    assert found.text.startswith("the agent may have ")


# --- users ---------------------------------------------------------------------------------------


def test_a_user_to_run_as_that_is_not_known_is_a_problem_for_root_alone() -> None:
    line = "f.yaml:3: roots[/r].run_as: no user web is known on this machine"
    assert users.judge(line, root=True).level is Level.PROBLEM
    assert users.judge(line, root=False).level is Level.WARNING
    line = "f.yaml:4: roots[/r].trusted_owners: no user or group x is known"
    assert users.judge(line, root=True).level is Level.WARNING


@pytest.mark.parametrize(
    ("text", "took", "expected"),
    [
        ("passwd: files systemd\n", 0.05, []),
        ("passwd:\tfiles [NOTFOUND=return] compat # ldap\n", 0.05, []),
        ("passwd: files ldap\ngroup: files\n", 0.05, [Level.NOTE]),
        ("passwd: files sss\n", 2.0, [Level.WARNING, Level.NOTE]),
        ("", 2.0, [Level.WARNING]),
    ],
)
def test_how_names_are_found(text: str, took: float, expected: list[Level]) -> None:
    assert levels(users.judge_service(text, took)) == expected


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


def test_a_state_that_goes_with_a_reboot_is_a_warning() -> None:
    passing, lasting = Mount(1, "/", "tmpfs"), Mount(1, "/", "ext4")
    assert levels(state_dirs.judge_place("state_dir", "/s", passing)) == [Level.WARNING]
    assert levels(state_dirs.judge_place("state_dir", "/s", lasting)) == []
    assert levels(state_dirs.judge_place("runtime_dir", "/s", passing)) == []


def test_a_state_on_a_share_is_a_problem_and_is_not_touched() -> None:
    table = "30 22 0:50 / /share rw - fuse.glusterfs fs1:/files rw\n"
    found = state_dirs.look("state_dir", "/share/state", table, "/share/state")
    assert levels(found) == [Level.PROBLEM]


# --- the agent that runs -------------------------------------------------------------------------


def test_the_holder_of_a_lock_is_told_from_the_kernel_s_list(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.touch()
    found = file.stat()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    locks = (
        f"1: POSIX  ADVISORY  WRITE 11 {place} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE 22 00:00:1 0 EOF\n"
        f"3: FLOCK  ADVISORY  WRITE 33 {place} 0 EOF\n"
        f"3: -> FLOCK  ADVISORY  WRITE 44 {place} 0 EOF\nodd\n"
    )
    assert agent.holder(locks, found) == 33
    assert agent.holder("", found) == 0


def test_who_has_a_file_open_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.write_text(f"{os.getpid()}\n")
    assert agent.held(file) == 0  # the pid in it says nothing
    with file.open():
        assert agent.held(file) == os.getpid()
    assert agent.held(tmp_path / "other") == 0


# --- together ------------------------------------------------------------------------------------


def test_a_name_in_two_roots_is_a_problem() -> None:
    seen = [("web", "/a", Layout.TREE), ("api", "/a", Layout.GIT), ("web", "/b", Layout.TREE)]
    found = list(twice(seen))
    assert levels(found) == [Level.PROBLEM]
    assert found[0].about == "app web"
    assert "/a and in /b" in found[0].text
