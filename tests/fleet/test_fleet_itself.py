"""The fleet is what it says: servers that boot, share files, fail and come back."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from . import agent, machine
from .conftest import RaiseFleet
from .developer import app_files, noted
from .fleet import ROOT, Fleet, Shape
from .host import CommandFailed, CommandHung, Host
from .wait import wait_until

BRICK = "/bricks/files/production"


def run_fleet(fleet: Fleet, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command for people, on this fleet."""
    return subprocess.run(
        [str(machine.REPOSITORY / "tests/fleet/fleet"), *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "FLEET": fleet.name},
    )


def test_every_host_runs_systemd_with_a_journal(fleet: Fleet) -> None:
    """The first process is systemd, nothing failed at boot, and what is logged is found."""
    for host in fleet.hosts.values():
        assert host.read("/proc/1/comm") == "systemd\n"
        assert host.out("systemctl is-system-running") == "running", host.out("systemctl --failed")
        host.run("logger -t hello 'from a test'")
        found = host.journal("SYSLOG_IDENTIFIER=hello")
        assert found[-1]["MESSAGE"] == "from a test"
        assert found[-1]["_HOSTNAME"] == host.name


def test_the_share_is_one_on_all_hosts(fleet: Fleet) -> None:
    """A file that app1 writes is there on app2 and on both file servers."""
    app1, app2 = fleet.host("app1"), fleet.host("app2")
    app1.write(f"{ROOT}/hello", "from app1\n")
    for host in fleet.sharing():
        assert host.read(f"{ROOT}/hello") == "from app1\n"
    assert " /files fuse.glusterfs " in app2.read("/proc/mounts")
    app2.run(["rm", f"{ROOT}/hello"])


def test_a_host_that_lost_its_power_comes_back_with_its_disk(fleet: Fleet) -> None:
    """Files and the journal outlive the power cut, the boot is another one, the share is there."""
    host = fleet.host("app1")
    host.write("/var/lib/appagent/kept", "kept\n")
    first = host.read("/proc/sys/kernel/random/boot_id")
    host.power_off()
    assert not host.running
    host.power_on()
    assert host.read("/var/lib/appagent/kept") == "kept\n"
    assert host.read("/proc/sys/kernel/random/boot_id") != first
    assert len({entry["_BOOT_ID"] for entry in host.journal("_PID=1")}) >= 2
    wait_until(lambda: fleet.volume.mounted(host), 60)
    host.run("rm /var/lib/appagent/kept")


def test_a_clean_reboot_stops_services_first(fleet: Fleet) -> None:
    """A shutdown lets systemd end what runs."""
    host = fleet.host("app2")
    stop = "/bin/sh -c 'echo stopped > /root/stopped'"
    host.run(f'systemd-run -q --unit=told -p ExecStop="{stop}" sleep infinity')
    host.reboot()
    assert host.read("/root/stopped") == "stopped\n"


def answers(host: Host, other: Host) -> bool:
    """Whether a host reaches another one's ssh."""
    line = f"exec 3<>/dev/tcp/{other.address}/22 && head -c 3 <&3"
    done = host.run(["timeout", "2", "bash", "-c", line], check=False)
    return done.out == "SSH"


def test_a_host_is_cut_off_and_connected_again(fleet: Fleet) -> None:
    """Cut off from all, or from one; healed, it reaches all."""
    app1, fs1, fs2 = (fleet.host(name) for name in ("app1", "fs1", "fs2"))
    assert answers(app1, fs1)
    app1.cut()
    assert not answers(app1, fs1)
    app1.heal()
    wait_until(lambda: answers(app1, fs1), 30)
    app1.cut(fs1)
    assert not answers(app1, fs1)
    assert answers(app1, fs2)
    app1.heal(fs1)
    wait_until(lambda: answers(app1, fs1), 30)


def test_a_killed_fuse_client_leaves_a_dead_mount(fleet: Fleet) -> None:
    """The mount stays in the list and says ENOTCONN, until it is mounted again."""
    host = fleet.host("app1")
    fleet.volume.kill_client(host)
    done = host.run("LC_ALL=C ls /files", check=False)
    assert "Transport endpoint is not connected" in done.err
    assert " /files fuse.glusterfs " in host.read("/proc/mounts")
    fleet.volume.mount(host)
    assert host.out("ls /files") == "production"


def test_an_unmounted_share_is_an_empty_directory(fleet: Fleet) -> None:
    """Unmounted, and not mounted at the next boot where that was asked for."""
    host = fleet.host("app2")
    fleet.volume.unmount(host)
    assert host.out("ls -A /files") == ""
    fleet.volume.mount_at_boot(host, on=False)
    host.power_off()
    host.power_on()
    assert not fleet.volume.mounted(host)
    fleet.volume.mount_at_boot(host, on=True)
    fleet.volume.mount(host)
    assert host.out("ls /files") == "production"


def test_a_brick_goes_down_and_comes_back_healed(fleet: Fleet) -> None:
    """With one brick down the share is written on; the brick gets it all when it is back."""
    app1, fs2 = fleet.host("app1"), fleet.host("fs2")
    fleet.volume.brick_down(fs2)
    wait_until(lambda: not fleet.volume.online()["fs2"], 30)
    app1.write(f"{ROOT}/while-down", "written\n")
    fleet.volume.brick_up(fs2)
    fleet.volume.wait_healed()
    brick = f"{fleet.volume.bricks['fs2']}/production/while-down"
    assert fs2.read(brick) == "written\n"
    app1.run(["rm", f"{ROOT}/while-down"])


def test_file_servers_are_restarted_one_after_the_other(fleet: Fleet) -> None:
    """The share is there all the time for who only reads it."""
    app3 = fleet.host("app3")
    app3.write(f"{ROOT}/rolling", "read me\n")
    fleet.volume.restart_servers()
    assert app3.read(f"{ROOT}/rolling") == "read me\n"
    app3.run(["rm", f"{ROOT}/rolling"])


def test_a_push_over_ssh_changes_the_work_tree_on_the_share(fleet: Fleet) -> None:
    """Push, push of a revert, push of an older commit."""
    developer, app1 = fleet.developer, fleet.host("app1")
    developer.new_git("pushed")
    first = developer.push("pushed", app_files("one"))
    assert app1.read(f"{ROOT}/pushed/VERSION") == "one\n"
    developer.push("pushed", app_files("two"))
    developer.push_revert("pushed")
    head = f"git -C {ROOT}/pushed rev-parse HEAD"
    developer.push_back("pushed", first)
    wait_until(lambda: app1.out(head) == first, 10)
    wait_until(lambda: app1.read(f"{ROOT}/pushed/VERSION") == "one\n", 10)
    developer.remove("pushed")


def test_a_symlink_is_swapped_and_files_are_synced(fleet: Fleet) -> None:
    """The other two ways in which teams deploy."""
    developer, app1 = fleet.developer, fleet.host("app1")
    developer.swap("linked", "1", app_files("one"))
    developer.swap("linked", "2", app_files("two"))
    assert app1.out(f"readlink {ROOT}/linked/current") == "releases/2"
    assert app1.read(f"{ROOT}/linked/current/VERSION") == "two\n"
    developer.point("linked", "1")
    assert app1.read(f"{ROOT}/linked/current/VERSION") == "one\n"
    developer.rsync("synced", app_files("one", parts=50))
    assert app1.out(f"ls {ROOT}/synced/parts | wc -l") == "50"
    developer.remove("linked")
    developer.remove("synced")


def test_a_command_runs_as_a_user_and_tells_its_status_and_output(fleet: Fleet) -> None:
    """Status, both outputs, input, user with groups, and an error that says it all."""
    host = fleet.host("app1")
    done = host.run("cat; echo wrong >&2; exit 7", check=False, text="given")
    assert (done.status, done.out, done.err) == (7, "given", "wrong\n")
    assert host.out("id -un; id -gn", user="www-data") == "www-data\nwww-data"
    assert host.run("kill -9 $$", check=False).status == 128 + 9
    with pytest.raises(CommandFailed, match=r"exit status 3\nwhy it failed"):
        host.run("echo why it failed; exit 3")


def test_a_command_that_hangs_is_ended_with_its_children(fleet: Fleet) -> None:
    """Nothing of it is left, and a daemon that a finished command left behind lives on."""
    host = fleet.host("app1")
    with pytest.raises(CommandHung, match="said before"):
        host.run("echo said before; sleep 12345 & setsid sleep 12345; wait", timeout=1)
    assert host.pids("^sleep 12345$") == []
    assert host.out("setsid sleep 23456 & echo at once", timeout=5) == "at once"
    assert len(host.pids("^sleep 23456$")) == 1
    host.kill("KILL", *host.pids("^sleep 23456$"))


def test_a_command_on_a_share_that_is_cut_off_ends_in_time(fleet: Fleet) -> None:
    """The limit holds though not even SIGKILL ends what hangs in the share."""
    host = fleet.host("app3")
    host.cut()
    began = time.monotonic()
    with pytest.raises(CommandHung):
        host.run(f"stat {ROOT}/none-looked-at-before", timeout=2)
    assert time.monotonic() - began < 20
    host.heal()
    wait_until(lambda: fleet.volume.mounted(host), 150)


def test_a_stopped_process_goes_on_afterwards(fleet: Fleet) -> None:
    """SIGSTOP for as long as the block lasts."""
    host = fleet.host("app1")
    host.run("systemd-run -q --unit=walker sleep infinity")
    pid = host.main_pid("walker.service")
    with host.stopped(pid):
        assert "T" in host.out(["ps", "-o", "stat=", "-p", str(pid)])
    assert "S" in host.out(["ps", "-o", "stat=", "-p", str(pid)])
    host.run("systemctl stop walker")


def test_a_full_disk_is_full_and_free_again(fleet: Fleet) -> None:
    """Only the disk with appagent's state, so that the rest of the host goes on."""
    host = fleet.host("app1")
    host.fill_disk()
    assert "No space left" in host.run("echo more > /var/lib/appagent/more", check=False).err
    host.run("echo more > /root/more")
    host.free_disk()
    host.run("echo more > /var/lib/appagent/more && rm /var/lib/appagent/more")


def test_new_nodes_join_and_are_cloned(fleet: Fleet) -> None:
    """A node that boots into the running fleet, and one from an image of a running node."""
    new = fleet.new_app()
    new.write("/var/lib/appagent/state", "of the first\n")
    new.write("/etc/marked", "too\n")
    clone = fleet.clone(new)
    assert clone.out("hostname") == clone.name != new.name
    assert clone.read("/var/lib/appagent/state") == "of the first\n"
    assert clone.read("/etc/marked") == "too\n"
    assert clone.read("/etc/machine-id") != new.read("/etc/machine-id")
    wait_until(lambda: fleet.volume.mounted(clone), 60)
    for host in (clone, new):
        fleet.remove(host)


def test_the_command_for_people_tells_status_and_output(fleet: Fleet) -> None:
    """`run` has the command's own; what is no host is said in one line."""
    done = run_fleet(fleet, "run", "app1", "hostname; echo wrong >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "app1\n", "wrong\n")
    assert run_fleet(fleet, "run", "app1", "echo '$HOME' $HOME").stdout == "$HOME /root\n"
    make = ["make", "-s", "-C", str(machine.REPOSITORY), "fleet-run", "HOST=app1"]
    line = "CMD=echo '$HOME' $HOME; echo wrong >&2; exit 7"
    env = {**os.environ, "FLEET": fleet.name}
    done = subprocess.run([*make, line], check=False, capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout) == (2, "$HOME /root\n")  # make's own: a recipe failed
    assert done.stderr.startswith("wrong\n")
    done = run_fleet(fleet, "run", "app99", "true")
    assert done.returncode == 70
    assert done.stderr.startswith(f"fleet: the fleet '{fleet.name}' has no host 'app99'")
    assert done.stderr.count("\n") == 1


def test_the_command_for_people_breaks_and_mends(fleet: Fleet, tmp_path: Path) -> None:
    """Each deed is the API's; what it does not take is said in one line."""
    app1, fs1 = fleet.host("app1"), fleet.host("fs1")
    assert run_fleet(fleet, "cut", "app1", "fs1").returncode == 0
    assert not answers(app1, fs1)
    assert run_fleet(fleet, "heal", "app1", "fs1").returncode == 0
    wait_until(lambda: answers(app1, fs1), 30)
    for deed, mounted in (("unmount", False), ("mount", True)):
        assert run_fleet(fleet, deed, "app1").returncode == 0
        assert fleet.volume.mounted(app1) is mounted
    for name, text in app_files("by-hand").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    pushed = run_fleet(fleet, "push", "by-hand", str(tmp_path))
    assert pushed.stdout.strip() == app1.out(f"git -C {ROOT}/by-hand rev-parse HEAD", "deploy")
    assert run_fleet(fleet, "journal", "app1", "_PID=1", "_TRANSPORT=kernel").stdout == ""
    assert "systemd" in run_fleet(fleet, "journal", "app1", "_PID=1").stdout
    for wrong in (["cut"], ["off", "app1", "app2"], ["pause", "app1", "no such thing", "1"]):
        done = run_fleet(fleet, *wrong)
        assert (done.returncode, done.stderr.count("\n")) == (70, 1), done
    fleet.developer.remove("by-hand")


def test_a_second_fleet_of_the_same_name_is_refused(fleet: Fleet) -> None:
    """Nobody's fleet is taken away while it is in use."""
    done = run_fleet(fleet, "down")
    assert done.returncode == 70
    assert "in use" in done.stderr
    assert fleet.host("app1").ok("true")


def test_a_fleet_can_have_an_arbiter(raise_fleet: RaiseFleet) -> None:
    """Another shape, for one test: three file servers, of which one holds no data."""
    shape = Shape(apps=1, file_servers=3, replica=3, arbiter=True, dev=False, start_agent=False)
    fleet = raise_fleet(shape)
    assert all(fleet.volume.online().values())
    fleet.host("app1").write(f"{ROOT}/thrice", "data\n")
    sizes = {server.name: server.out(f"stat -c %s {BRICK}/thrice") for server in fleet.of("file")}
    assert sizes == {"fs1": "5", "fs2": "5", "fs3": "0"}


def test_a_brick_is_replaced_by_an_empty_one_and_healed(fleet: Fleet) -> None:
    """The new brick holds what the old one held."""
    fs2 = fleet.host("fs2")
    fleet.host("app1").write(f"{ROOT}/moved", "data\n")
    fleet.volume.replace_brick(fs2)
    assert fs2.read(f"{fleet.volume.bricks['fs2']}/production/moved") == "data\n"


def test_the_agent_is_active_on_every_app_server(fleet: Fleet) -> None:
    """Installed from its wheel, as its unit."""
    for host in fleet.apps:
        assert host.out(["systemctl", "is-active", agent.SERVICE]) == "active"


def test_the_agent_is_upgraded(fleet: Fleet) -> None:
    """Another version beside the first one; the service runs it."""
    host = fleet.host("app1")
    agent.upgrade(host, "99.1")
    assert host.out("readlink /opt/appagent/current") == "versions/99.1"
    assert "99.1" in host.out([agent.COMMAND, "status"])
    assert host.out(["systemctl", "is-active", agent.SERVICE]) == "active"


def test_an_app_that_is_pushed_is_started_on_every_node(fleet: Fleet) -> None:
    """What other tests build on: a push, and each node notes what it ran."""
    fleet.developer.new_git("first")
    commit = fleet.developer.push("first", app_files("one"))
    wait_until(lambda: all(len(noted(host, "first")) >= 3 for host in fleet.apps), 60)
    for host in fleet.apps:
        runs = noted(host, "first")
        assert [run.target for run in runs] == ["install", "start", "check"]
        assert {(run.version, run.foreign, run.release) for run in runs} == {("one", 0, commit)}
