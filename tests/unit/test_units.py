"""The directives of the units that matter, each with the reason why it must stay as it is."""

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEMD = REPOSITORY / "systemd"
DROP_INS = sorted((REPOSITORY / "examples" / "drop-ins").rglob("*.conf"))


def directives(path: Path) -> list[tuple[str, str, str]]:
    """Return (section, key, value) of a unit file, in its order; a key may come again."""
    found, section = [], ""
    for line in path.read_text().splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text.strip("[]")
        elif text and text[0] not in "#;":
            key, _, value = text.partition("=")
            found.append((section, key, value))
    return found


SERVICE = directives(SYSTEMD / "appagent.service")
SLICE = directives(SYSTEMD / "appagent.slice")
MOUNT = directives(SYSTEMD / "files.mount")


@pytest.mark.parametrize(
    ("section", "key", "value", "reason"),
    [
        ("Service", "Type", "notify", "what waits for it starts once it is READY, not before"),
        ("Service", "NotifyAccess", "main", "no target may speak in the agent's name"),
        ("Service", "KillMode", "process", "runs and apps in its control group outlive it"),
        ("Service", "OOMPolicy", "continue", "one process killed for memory is not its end"),
        ("Service", "Restart", "always", "a SIGTERM by mistake is a clean end too"),
        ("Service", "RestartPreventExitStatus", "78", "a wrong configuration does not heal"),
        ("Unit", "StartLimitIntervalSec", "0", "an agent that gave up would never deploy again"),
        ("Service", "WatchdogSec", "30", "a loop that stands still is found"),
        ("Service", "WorkingDirectory", "/", "never on the share: it would hang or hold it"),
        ("Service", "ExecReload", "/bin/sh -c 'kill -HUP $MAINPID'", "its SIGHUP is a reload"),
        ("Service", "StateDirectory", "appagent", "/var/lib/appagent is there, whatever else is"),
        ("Service", "StateDirectoryMode", "0700", "the node's secret lies there"),
        ("Service", "RuntimeDirectory", "appagent", "/run/appagent is there at each boot"),
        ("Service", "RuntimeDirectoryPreserve", "yes", "the locks of living runs stay"),
        ("Service", "ExecStart", "/opt/appagent/current/bin/appagent run", "where it is put"),
        ("Install", "WantedBy", "multi-user.target", "it is there after a reboot"),
    ],
)
def test_the_service_says(section: str, key: str, value: str, reason: str) -> None:
    assert [it[2] for it in SERVICE if it[:2] == (section, key)] == [value], reason


def test_it_starts_after_the_mounts_but_without_needing_them() -> None:
    keys = {key for _, key, _ in SERVICE}
    (after,) = [value.split() for _, key, value in SERVICE if key == "After"]
    assert {"remote-fs.target", "network-online.target"} <= set(after)
    assert "network-online.target" in [value for _, key, value in SERVICE if key == "Wants"]
    assert not keys & {"RequiresMountsFor", "Requires", "BindsTo", "PartOf", "Requisite"}, (
        "the agent would end with the share"
    )


# systemd.exec(5): each of these gives the unit a mount namespace of its own. A scope inherits it,
# so an app's /tmp would go when the agent stops, and a share mounted later would not be seen.
NAMESPACE = """
    BindPaths BindReadOnlyPaths DynamicUser ExecPaths ExtensionDirectories ExtensionImages
    InaccessiblePaths JoinsNamespaceOf LoadCredential LoadCredentialEncrypted MountAPIVFS
    MountFlags MountImages NetworkNamespacePath NoExecPaths PrivateDevices PrivateIPC PrivateMounts
    PrivateNetwork PrivateTmp PrivateUsers ProcSubset ProtectClock ProtectControlGroups ProtectHome
    ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc
    ProtectSystem ReadOnlyPaths ReadWritePaths RestrictNamespaces RootDirectory RootImage
    SetCredential TemporaryFileSystem
""".split()
# Each of these narrows what the apps may do, who know nothing of it.
NARROWER = """
    AmbientCapabilities AppArmorProfile CapabilityBoundingSet IPAddressAllow IPAddressDeny
    LockPersonality MemoryDenyWriteExecute NoNewPrivileges PAMName Personality RemoveIPC
    RestrictAddressFamilies RestrictFileSystems RestrictRealtime RestrictSUIDSGID SecureBits
    SELinuxContext SystemCallArchitectures SystemCallFilter
""".split()
# Each of these is inherited by every app: a limit or a weight of an app stands under `limits`.
INHERITED = """
    CoredumpFilter CPUAffinity Group CPUSchedulingPolicy CPUSchedulingPriority IOSchedulingClass
    IOSchedulingPriority KeyringMode Nice NUMAPolicy OOMScoreAdjust TimerSlackNSec UMask User
""".split()


@pytest.mark.parametrize("path", [SYSTEMD / "appagent.service", *DROP_INS], ids=lambda it: it.name)
def test_nothing_is_set_that_would_reach_into_the_apps(path: Path) -> None:
    keys = {key for _, key, _ in directives(path)}
    assert keys & {*NAMESPACE, *NARROWER, *INHERITED} == set()
    assert [key for key in keys if key.startswith("Limit")] == []


def test_the_agent_is_not_in_the_slice_of_the_apps() -> None:
    assert "Slice" not in {key for _, key, _ in SERVICE}, "their limits would slow it down"


def test_the_apps_end_before_the_share_and_the_network_when_the_machine_is_shutting_down() -> None:
    (after,) = [value.split() for _, key, value in SLICE if key == "After"]
    assert {"remote-fs.target", "network.target"} <= set(after)
    wants = [value for _, key, value in SERVICE if key == "Wants"]
    assert "appagent.slice" in wants, "else a run would wait for what the slice is after"
    assert not {key for _, key, _ in SLICE} & {"RequiresMountsFor", "Requires", "BindsTo", "PartOf"}


def test_the_group_that_may_read_at_the_control_socket_is_made() -> None:
    lines = (SYSTEMD / "sysusers.conf").read_text().splitlines()
    assert "g appagent -" in lines


def test_the_mount_asks_several_servers_and_belongs_to_the_network() -> None:
    values = {key: value for _, key, value in MOUNT}
    options = values["Options"].split(",")
    assert "_netdev" in options, "else it is mounted before there is a network"
    assert any(it.startswith("backup-volfile-servers=") for it in options)
    assert values["Where"] == "/files", "the unit's name has to follow from it"
    assert values["WantedBy"] == "remote-fs.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for name in ("appagent.service", "appagent.slice", "files.mount"):
        # Only the program is another one: on this machine there may be no /opt/appagent.
        text = (SYSTEMD / name).read_text()
        (tmp_path / name).write_text(
            text.replace("/opt/appagent/current/bin/appagent", "/bin/true")
        )
    for path in DROP_INS:
        directory = tmp_path / path.parent.name
        directory.mkdir(exist_ok=True)
        shutil.copy(path, directory)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(str(it) for it in tmp_path.glob("*.*t"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_openrc_script_reads_as_shell_and_leaves_the_apps_alone() -> None:
    script = SYSTEMD / "appagent.openrc"
    assert script.read_text().startswith("#!/sbin/openrc-run\n")
    subprocess.run(["sh", "-n", script], check=True)
    told = [line for line in script.read_text().splitlines() if not line.startswith("#")]
    assert "rc_cgroup_cleanup" not in "\n".join(told), "it would kill every app at a stop"
