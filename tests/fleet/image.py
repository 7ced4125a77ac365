"""The hosts' root filesystem: read-only layers, built once and kept between runs.

    more    packages that one fleet needs and others do not
    agent   appagent, installed from its wheel         (seconds; each change of it)
    wheels  a venv with what appagent needs            (each change of its dependencies)
    base    Debian with systemd, GlusterFS, ssh, git   (two minutes; each change of the recipe)

A layer's directory is named after a hash of its recipe and of the layer below it, so a layer that
is there is right. Layers are made in a directory of another name and renamed when they are whole.
What apt and pip need to know (mirrors, proxies, keys, certificates) comes from this machine's own
configuration: /etc/apt and the like are bound into the build, and out again.
"""

import fcntl
import functools
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import machine, wheel

PACKAGES = """
attr ca-certificates curl dbus git glusterfs-client glusterfs-server iproute2 less make nginx-light
openssh-server procps python3 python3-venv rsync systemd systemd-sysv
"""

BUILD = """
set -eu
root=$1 script=$2
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
for file in /etc/resolv.conf /etc/hosts; do
    touch "$root$file"
    mount --bind "$file" "$root$file"
done
mount --bind -o ro /etc/apt "$root/etc/apt"
cp -Ln /usr/share/keyrings/* "$root/usr/share/keyrings/" || true
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/run/certificates"
    export APT_CONFIG=/run/apt.conf
    echo 'Acquire::https::CAInfo "/run/certificates";' > "$root$APT_CONFIG"
fi
for directory in /var/lib/apt/lists /var/cache/apt; do
    mkdir -p "$root$directory"
    mount -t tmpfs tmpfs "$root$directory"
done
exec chroot "$root" /bin/sh -eu -c "$script"
"""

BASE = r"""
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io PACKAGES
rm /usr/sbin/policy-rc.d

# What no host of the fleet needs at boot.
systemctl disable glusterd ssh nginx apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    fstrim.timer dpkg-db-backup.timer 2>/dev/null || true
systemctl mask console-getty.service getty.target systemd-logind.service gluster-ta-volume.service \
    e2scrub_reap.service systemd-networkd.service systemd-resolved.service 2>/dev/null || true

# The journal outlives a power cut and is complete.
mkdir -p /var/log/journal /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxUse=200M\n' \
    > /etc/systemd/journald.conf.d/fleet.conf

# The people who deploy, with one key for all: it lives in this image only.
groupadd --gid 2000 deploy
useradd --create-home --uid 2000 --gid deploy --shell /bin/bash deploy
ssh-keygen -q -t ed25519 -N '' -C fleet -f /tmp/key
for home in /root /home/deploy; do
    mkdir -p -m 700 "$home/.ssh"
    cp /tmp/key "$home/.ssh/id_ed25519"
    cp /tmp/key.pub "$home/.ssh/authorized_keys"
    printf 'StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n' \
        > "$home/.ssh/config"
    printf '[user]\n\tname = Deploy\n\temail = deploy@fleet\n[init]\n\tdefaultBranch = main\n' \
        > "$home/.gitconfig"
    printf '[safe]\n\tdirectory = *\n' >> "$home/.gitconfig"
done
chown -R deploy:deploy /home/deploy
printf 'UseDNS no\nMaxStartups 100\n' > /etc/ssh/sshd_config.d/fleet.conf

: > /etc/machine-id
rm -f /etc/hostname /var/lib/dbus/machine-id /etc/apt/sources.list
mkdir -p /files /bricks /var/lib/appagent
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
""".replace("PACKAGES", " ".join(PACKAGES.split()))

MORE = r"""
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
ls /etc/init.d > /tmp/before
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io PACKAGES
rm /usr/sbin/policy-rc.d
for name in $(ls /etc/init.d | grep -vxFf /tmp/before); do systemctl disable "$name"; done
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
"""

WHEELS = r"""
export LC_ALL=C
python3 -m venv "/opt/appagent/versions/VERSION"
"/opt/appagent/versions/VERSION/bin/pip" install -q --no-index --find-links /opt/wheelhouse NEEDS
"""

AGENT = r"""
export LC_ALL=C
/opt/appagent/versions/*/bin/pip install -q --no-index --find-links /opt/wheelhouse /opt/wheel/*.whl
"""


@functools.cache
def layers(*, with_agent: bool = True, packages: tuple[str, ...] = ()) -> list[Path]:
    """Return the layers of a host's root, the topmost first; build those that are not there.

    `packages` of Debian come beside those that all hosts have; none of their services is started
    at boot. One process uses one image, also where the sources change while it runs.
    """
    machine.CACHE.mkdir(parents=True, exist_ok=True)
    with (machine.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        suite = codename()
        base = layer("base", [suite, BUILD, BASE], [], bootstrap)
        found = [base]
        if with_agent and wheel.installable():
            needs = layer(
                "wheels",
                [base.name, needs_installed(), *wheel.builds_with(), wheel.pinned().read_text()],
                found,
                wheelhouse,
            )
            found.insert(0, needs)
            recipe = [needs.name, AGENT, wheel.fingerprint()]
            found.insert(0, layer("agent", recipe, found, agent))
        if packages:
            script = MORE.replace("PACKAGES", " ".join(packages))
            recipe = [base.name, script]
            found.insert(0, layer("more", recipe, [base], functools.partial(install, script)))
        prune(found)
    return found


def layer(
    name: str, recipe: list[str], below: list[Path], build: Callable[[Path, list[Path]], None]
) -> Path:
    """Return the directory of a layer, building it first if it is not there."""
    key = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:16]
    done = machine.CACHE / f"{name}-{key}"
    if not done.is_dir():
        building = machine.CACHE / f"building-{name}"
        clear(building)
        build(building, below)
        building.rename(done)
    os.utime(done)
    return done


def bootstrap(into: Path, below: list[Path]) -> None:
    """Build the base: a minimal Debian by debootstrap, then what a server has, by apt."""
    del below
    suite = codename()
    proxy = machine.sh("apt-config", "shell", "p", "Acquire::http::Proxy").strip()
    env = {"http_proxy": proxy.split("=", 1)[1].strip("'\"")} if "=" in proxy else {}
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    options = ("--variant=minbase", *keyring(suite))
    machine.sh(*alone, "debootstrap", *options, suite, into, mirror(suite), timeout=1200, env=env)
    inside(into, BASE, timeout=1200)


def wheelhouse(into: Path, below: list[Path]) -> None:
    """Build the layer with the venv and the wheels that appagent needs, already installed."""
    python = next((below[-1] / "usr/lib").glob("python3.*")).name
    wheel.download(into / "opt/wheelhouse", python)
    run_over(into, below, needs_installed())


def needs_installed() -> str:
    """Return the script that makes the venv of this version."""
    needs = " ".join(f"'{need}'" for need in wheel.needs())
    return WHEELS.replace("VERSION", wheel.version()).replace("NEEDS", needs)


def agent(into: Path, below: list[Path]) -> None:
    """Build the layer with appagent installed from its wheel, as its README says."""
    wheel.build(into / "opt/wheel")
    run_over(into, below, AGENT)


def install(script: str, into: Path, below: list[Path]) -> None:
    """Build the layer with more packages."""
    into.mkdir()
    run_over(into, below, script, timeout=600)


def run_over(into: Path, below: list[Path], script: str, timeout: float = 300) -> None:
    """Run a script in a new layer over others, and add what it writes to the new one."""
    with mounted([into, *below]) as root:
        inside(root, script, timeout)
        machine.sh("cp", "-a", f"{root.parent}/upper/.", f"{into}/")


@contextmanager
def mounted(lowers: list[Path]) -> Iterator[Path]:
    """Mount layers, writable, for building the next one; what is written is in ../upper."""
    scratch = machine.CACHE / "building-root"
    clear(scratch)
    root = scratch / "root"
    machine.overlay(lowers, scratch / "upper", scratch / "work", root)
    try:
        yield root
    finally:
        clear(scratch)


def inside(root: Path, script: str, timeout: float = 300) -> None:
    """Run a shell script in a root, with this machine's network, apt sources and certificates."""
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    machine.sh(*alone, "sh", "-c", BUILD, "sh", root, script, timeout=timeout, env=path)


def clear(directory: Path) -> None:
    """Remove what an earlier, interrupted build has left."""
    for where in machine.mounts_below(directory):
        machine.sh("umount", "--lazy", where)
    if directory.exists():
        shutil.rmtree(directory)


def prune(used: list[Path], days: float = 7, agents: int = 10) -> None:
    """Remove layers that nobody has used for days; of those that change often, keep some."""
    mounts = Path("/proc/self/mountinfo").read_text()
    rest = [path for path in machine.CACHE.glob("*-*") if path.is_dir() and path not in used]
    rest = [path for path in rest if str(path) not in mounts]
    rest.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    several = [path for path in rest if path.name.startswith("agent-")][agents:]
    for path in rest:
        if path in several or path.stat().st_mtime < time.time() - days * 86400:
            clear(path)


def codename() -> str:
    """Return the release of Debian that this machine runs: the hosts get the same."""
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    msg = "/etc/os-release names no VERSION_CODENAME: a Debian machine is needed"
    raise RuntimeError(msg)


def sources(suite: str) -> list[tuple[str, str]]:
    """Return (address, keyring) of the places where apt on this machine gets the suite from."""
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    lines = machine.sh("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    rows = [line.split("|") for line in lines.splitlines()]
    return [(row[0], row[3]) for row in rows if row[1] == suite and row[2] == "main"]


def mirror(suite: str) -> str:
    """Return the mirror that this machine's own apt uses."""
    found = sources(suite)
    if not found:
        msg = f"no source of {suite} main in this machine's /etc/apt"
        raise RuntimeError(msg)
    return found[0][0]


def keyring(suite: str) -> list[str]:
    """Return debootstrap's option for the keyring that apt's source names, if it names one."""
    found = sources(suite)
    path = found[0][1] if found else ""
    return [f"--keyring={path}"] if path.startswith("/") else []
