"""A unit's text → what it means for the apps."""

from pathlib import Path

import pytest

from appagent.doctor.finding import Finding, Level
from appagent.doctor.unit import directives, judge, properties, section

SHIPPED = Path(__file__).parents[2] / "systemd" / "appagent.service"
FILE = "/usr/local/lib/systemd/system/appagent.service"
DROP_IN = "/etc/systemd/system/appagent.service.d/override.conf"
SHOWN = """\
LoadState=loaded
ActiveState=active
SubState=running
Result=success
MainPID=411
NeedDaemonReload=no
UnitFileState=enabled
Type=notify
NotifyAccess=main
KillMode=process
Restart=always
RestartPreventExitStatus=78
OOMPolicy=continue
WorkingDirectory=/
WatchdogUSec=30s
RuntimeDirectoryPreserve=yes
LimitNOFILE=524288
LimitNOFILESoft=1024
"""


def cat(drop_in: str = "") -> str:
    text = f"# {FILE}\n{SHIPPED.read_text()}"
    return f"{text}\n# {DROP_IN}\n{drop_in}\n" if drop_in else text


def judged(drop_in: str = "", **changed: str) -> list[Finding]:
    return judge(cat(drop_in), properties(SHOWN) | changed, ("/files/production",))


def bad(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.level in (Level.PROBLEM, Level.WARNING)]


def test_the_unit_that_is_shipped_is_fine() -> None:
    assert [one.level for one in judged()] == [Level.OK]


def test_a_watchdog_counts_before_the_first_start_too() -> None:
    """Until then systemd itself reports none."""
    shown = properties(SHOWN) | {"WatchdogUSec": "0", "ActiveState": "activating"}
    assert [one.level for one in judge(cat(), shown)] == [Level.OK]


@pytest.mark.parametrize("line", ["WatchdogSec=0", "WatchdogSec=infinity", "WatchdogSec="])
def test_a_unit_without_a_watchdog_is_a_note(line: str) -> None:
    notes = [one for one in judged(f"[Service]\n{line}") if one.level is Level.NOTE]
    assert [one.do for one in notes] == ["set WatchdogSec=30"]


def test_a_unit_that_is_not_there_is_a_note() -> None:
    found = judge("", {"LoadState": "not-found"})
    assert [one.level for one in found] == [Level.NOTE]


@pytest.mark.parametrize("state", ["masked", "error", "bad-setting"])
def test_a_unit_that_cannot_be_loaded_is_a_problem(state: str) -> None:
    assert [one.level for one in judge("", {"LoadState": state})] == [Level.PROBLEM]


@pytest.mark.parametrize(
    "line",
    [
        "PrivateTmp=yes",
        "PrivateTmp=true",
        "PrivateDevices=1",
        "ProtectSystem=full",
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        "ProtectHome=tmpfs",
        "ProtectProc=invisible",
        "ProtectKernelTunables=on",
        "ProtectControlGroups=yes",
        "ReadOnlyPaths=/files",
        "ReadWritePaths=/var/lib",
        "InaccessiblePaths=-/home",
        "BindPaths=/a:/b",
        "TemporaryFileSystem=/var:ro",
        "RootDirectory=/srv/root",
        "ReadOnlyPaths=/",
        "MountFlags=private",
        "DynamicUser=yes",
    ],
)
def test_a_mount_namespace_is_a_problem_with_the_file_that_sets_it(line: str) -> None:
    found = bad(judged(f"[Service]\n{line}"))
    assert [one.level for one in found] == [Level.PROBLEM]
    assert line in found[0].text
    assert DROP_IN in found[0].do


@pytest.mark.parametrize(
    "line",
    [
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "SystemCallFilter=@system-service",
        "RestrictAddressFamilies=AF_UNIX",
        "MemoryDenyWriteExecute=yes",
        "PrivateNetwork=yes",
        "LimitNOFILE=1024",
        "Nice=10",
        "OOMScoreAdjust=-900",
        "CPUAffinity=0",
        "UMask=0077",
        "MemoryMax=200M",
        "TasksMax=30",
        "CPUQuota=20%",
    ],
)
def test_what_every_app_inherits_is_a_warning(line: str) -> None:
    found = bad(judged(f"[Service]\n{line}"))
    assert [one.level for one in found] == [Level.WARNING]
    assert line in found[0].text


@pytest.mark.parametrize(
    "text",
    [
        "[Service]\nPrivateTmp=no",
        "[Service]\nPrivateTmp=yes\nPrivateTmp=no",
        "[Service]\nProtectHome=no",
        "[Service]\nReadOnlyPaths=/files\nReadOnlyPaths=",
        "[Service]\n# PrivateTmp=yes\n;ProtectSystem=strict",
        "[Unit]\nPrivateTmp=yes",
        "[Service]\nEnvironment=PrivateTmp=yes",
        "[Service]\nTasksMax=infinity",
        "[Service]\nMemoryMax=infinity",
        "[Service]\nUser=root",
        "[Service]\nRootDirectory=/",
    ],
)
def test_what_is_taken_back_or_means_nothing_is_fine(text: str) -> None:
    assert bad(judged(text)) == []


@pytest.mark.parametrize(
    "line",
    [
        "RequiresMountsFor=/files",
        "BindsTo=files.mount",
        "Requires=network.target files.mount",
    ],
)
def test_being_bound_to_a_mount_is_a_warning(line: str) -> None:
    found = bad(judged(f"[Unit]\n{line}"))
    assert [one.level for one in found] == [Level.WARNING]


def test_requiring_what_is_no_mount_is_fine() -> None:
    assert bad(judged("[Unit]\nRequires=network.target")) == []


@pytest.mark.parametrize(
    ("key", "value", "level"),
    [
        ("KillMode", "control-group", Level.PROBLEM),
        ("KillMode", "mixed", Level.PROBLEM),
        ("KillMode", "none", Level.WARNING),
        ("Type", "simple", Level.WARNING),
        ("NotifyAccess", "none", Level.PROBLEM),
        ("NotifyAccess", "all", Level.WARNING),
        ("Restart", "no", Level.WARNING),
        ("OOMPolicy", "stop", Level.WARNING),
        ("RuntimeDirectoryPreserve", "no", Level.WARNING),
        ("WorkingDirectory", "/files/production/web", Level.PROBLEM),
        ("ActiveState", "failed", Level.PROBLEM),
        ("ActiveState", "inactive", Level.WARNING),
        ("NeedDaemonReload", "yes", Level.WARNING),
        ("UnitFileState", "disabled", Level.WARNING),
    ],
)
def test_what_the_service_manager_will_do(key: str, value: str, level: Level) -> None:
    found = bad(judged(**{key: value}))
    assert [one.level for one in found] == [level]
    assert found[0].do


def test_notify_reload_is_fine() -> None:
    assert bad(judged(Type="notify-reload")) == []


def test_an_agent_that_is_not_root_is_a_note() -> None:
    found = judged("[Service]\nUser=www-data")
    assert [one.level for one in found] == [Level.NOTE, Level.OK]


def test_directives_know_their_file_and_join_lines() -> None:
    found = directives(
        f"# {FILE}\n[Service]\nA=1\nB=one \\\n  two\n\n# {DROP_IN}\n[Service]\nA=2\n"
    )
    assert [(one.key, one.value, one.file) for one in found] == [
        ("A", "1", FILE),
        ("B", "one    two", FILE),
        ("A", "2", DROP_IN),
    ]
    assert section(found, "Service")["A"].value == "2"
    assert section(found, "Unit") == {}


def test_comments_are_skipped_wherever_they_stand() -> None:
    """As systemd.syntax(7) has it: they neither continue nor end a line that is continued."""
    found = directives(
        f"# {FILE}\n[Service]\n# ends with \\\nA=1\nB=one\\\n# between\n;also\ntwo\n"
        "# /etc/some.conf\nC=3\n"
    )
    assert [(one.section, one.key, one.value) for one in found] == [
        ("Service", "A", "1"),
        ("Service", "B", "one two"),
        ("Service", "C", "3"),
    ]


def test_any_text_at_all_is_judged() -> None:
    for text in ("", "\0", "=\n==\n[", "# /x.conf\n=b", "[Service]\nPrivateTmp", "]["):
        judge(text, properties(text) | {"LoadState": "loaded"})
