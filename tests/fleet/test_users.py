"""Who a run is, and what it gets: for a user, the owner of the app's directory, root by name.

Each target writes down what it finds. What an env file says that only root may read reaches the
app, and nobody else: no journal, no status, no list of processes, no file of the agent's.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .configured import configured
from .daemons import clear, wait_forgotten
from .developer import Developer
from .fleet import ROOT, Fleet
from .host import NOTES, Host
from .inside import PATH
from .steps import PATIENCE
from .wait import wait_until

BY_OWNER, BY_ROOT = "/files/by-owner", "/files/by-root"
ENV = "/etc/appagent/env"
CONFIG = f"""\
roots:
  - {{path: {ROOT}, run_as: www-data, trusted_owners: [deploy], env_files: ["-{ENV}/{{app}}.env"]}}
  - {{path: {BY_OWNER}, run_as: owner}}
  - {{path: {BY_ROOT}, run_as: root, trusted_owners: [deploy]}}
defaults: {{gone_after: 1s, retry: {{first: 1h, max: 1h}}}}
"""
FOUND = """\
NOTES := /var/log/apps
.PHONY: install start restart stop
install start restart stop:
	@{ echo "user=$$(id -un)"; echo "group=$$(id -gn)"; echo "groups=$$(id -Gn)"; \\
	echo "umask=$$(umask)"; echo "pwd=$$(pwd -P)"; echo "real=$$(id -ru)"; \\
	grep -E '^(CapEff|NoNewPrivs|SigIgn|SigBlk):' /proc/self/status | tr -d '\\t' | tr : =; \\
	echo "files=$$(readlink /proc/$$PPID/fd/* | sort -u | xargs)"; \\
	env | sed 's/^/env./'; } > $(NOTES)/$$APP_NAME.$@
"""
GLIBCS = 3 << 31  # signals 32 and 33: whom make starts ignores them, says glibc's posix_spawn
SECRET = "open-sesame-0815"  # noqa: S105 - it opens nothing
TOKEN = f"{SECRET}-token"
USES_IT = """\
NOTES := /var/log/apps
.PHONY: install start restart stop
install:
	@printf %s "$$TOKEN" | sha256sum | cut -d ' ' -f 1 > $(NOTES)/$$APP_NAME.token
start restart:
	@touch $(NOTES)/$$APP_NAME.in-$@
	@while [ -e $(NOTES)/$$APP_NAME.hold ]; do sleep 0.1; done
	@[ "$$(cat VERSION)" != bad ] || { echo no token like this; exit 3; }
	@setsid sleep 30033 < /dev/null > /dev/null 2>&1 &
stop:
	@true
"""
BROKEN = {
    f"export TOKEN={TOKEN}": "write NAME=value without export",
    f"TOKEN='{TOKEN}": "the quote that begins in the value of TOKEN does not end",
    f"{TOKEN}": "there is no = in this line",
    f"{TOKEN}=": "the name before =",
}
ASKED = ("status", "explain secretive", "history secretive", "logs secretive", "doctor")


@pytest.fixture
def host(fleet: Fleet) -> Iterator[Host]:
    """Give a node with a root for each kind of `run_as`, whose users are in a group more."""
    host = fleet.apps[0]
    for root in (BY_OWNER, BY_ROOT):
        fleet.of("file")[0].run(
            ["install", "-d", "-m", "2775", "-o", "deploy", "-g", "deploy", root]
        )
    more = (
        "groupadd -f -g 3000 extra; for user in www-data deploy; do usermod -aG extra $user; done"
    )
    for node in fleet.apps:
        node.run(more)
    with configured(fleet.apps, CONFIG):
        yield host


def found(host: Host, app: str, target: str) -> dict[str, str]:
    """Wait until a target of an app has written down what it found; return that."""
    path = host.root / NOTES / f"{app}.{target}"
    wait_until(lambda: "env.APP_TARGET" in path.read_text(), PATIENCE, f"{target} of {app}")
    wait_until(lambda: state(host, app)["run"] is None, PATIENCE, f"the end of {target} of {app}")
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    return {key: value for key, _, value in lines}


def state(host: Host, app: str) -> dict[str, Any]:
    """Return what `appagent status` says of an app."""
    said = json.loads(host.out(["appagent", "status", app, "--json"]))
    return next(one for one in said["apps"] if one["app"] == app)


def by_login(host: Host, user: str) -> dict[str, str]:
    """Return what a login of a user would give it."""
    line = 'id -un; id -gn; id -Gn; getent passwd "$(id -un)" | cut -d : -f 6'
    user_, group, groups, home = host.out(line, user=user).splitlines()
    return {"user": user_, "group": group, "groups": groups, "env.HOME": home}


@pytest.mark.parametrize(
    ("root", "user"), [(ROOT, "www-data"), (BY_OWNER, "deploy"), (BY_ROOT, "root")]
)
def test_a_run_is_its_user_wholly(fleet: Fleet, host: Host, root: str, user: str) -> None:
    """Group and supplementary groups, umask, HOME, PATH; nothing of the agent's own."""
    app = "whoami-" + root.rpartition("/")[2]
    developer = Developer(fleet.host("dev"), fleet.of("file")[0], root)
    developer.swap(app, "1", {"Makefile": FOUND})
    given = by_login(host, user)
    if user != "root":
        assert "extra" in given["groups"].split()
    for target in ("install", "start"):
        said = found(host, app, target)
        assert {key: said[key] for key in given} == given
        names = {key.removeprefix("env.") for key in said if key.startswith("env.")}
        assert said["umask"] == "0022"
        assert said["env.PATH"] == PATH
        assert (said["env.USER"], said["env.LOGNAME"]) == (user, user)
        assert said["pwd"] == said["env.PWD"] == f"{root}/{app}/releases/1"
        assert said["NoNewPrivs"] == "0"
        assert int(said["SigIgn"], 16) & ~GLIBCS == int(said["SigBlk"], 16) == 0
        assert (int(said["CapEff"], 16) != 0) is (user == "root")
        null, journal = said["files"].split()  # all that make was given
        assert (null, journal.partition(":")[0]) == ("/dev/null", "socket")
        own = {name for name in names if name.startswith("APP_")}
        assert names - own <= {
            *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "PWD"),
            *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKE_TERMERR", "MAKE_TERMOUT", "SHLVL", "_"),
        }
        assert (said["env.APP_DIR"], said["env.APP_RELEASE"]) == (f"{root}/{app}", "1")
        assert (said["env.APP_TARGET"], said["env.APP_NODE"]) == (target, host.name)
    developer.remove(app)
    for node in fleet.apps:
        wait_forgotten(node, app)


# Of every process what all may see, and of those of root (agent, watcher, shims) its environment
# too.
SEEN = """
for process in /proc/[0-9]*; do
    [ $process != /proc/$$ ] || continue
    ! cat $process/cmdline $process/comm 2> /dev/null | grep -qaF -f /root/secret ||
        echo "seen: $process $(tr '\\0' ' ' < $process/cmdline)"
    [ "$(stat -c %u $process 2> /dev/null)" != 0 ] ||
        ! grep -qaF -f /root/secret $process/environ 2> /dev/null ||
        echo "root has it: $process $(tr '\\0' ' ' < $process/cmdline)"
done
journalctl --sync
journalctl -o export | grep -aF -f /root/secret
grep -rlaF -f /root/secret /var/lib/appagent /run/appagent /run/systemd /var/log/apps /tmp
true
"""


def in_nobodys_hands(host: Host) -> None:
    """Show that the secret is in no log, no status, no list of processes and no file of ours."""
    for question in ASKED:
        said = host.run(["appagent", *question.split()], check=False)
        assert SECRET not in said.out + said.err, question
    assert host.out(["sh", "-c", SEEN]) == ""


def test_a_secret_of_an_env_file_reaches_the_app_and_nobody_else(fleet: Fleet, host: Host) -> None:
    """While a target runs, while the app runs, when a target fails, when the file is broken."""
    developer, app = fleet.developer, "secretive"
    host.write("/root/secret", f"{SECRET}\n", mode="600")
    host.write(f"{ENV}/{app}.env", f'TOKEN="{TOKEN}"\n', mode="600")
    hold = host.root / NOTES / f"{app}.hold"
    hold.touch()
    developer.swap(app, "1", {"Makefile": USES_IT, "VERSION": "good\n"})
    wait_until((host.root / NOTES / f"{app}.in-start").exists, PATIENCE, "start begins")
    digest = (host.root / NOTES / f"{app}.token").read_text().strip()
    assert digest == hashlib.sha256(TOKEN.encode()).hexdigest()
    in_nobodys_hands(host)
    hold.unlink()
    wait_until(lambda: state(host, app)["reached"], PATIENCE, "it runs")
    (daemon,) = host.pids("^sleep 30033$")
    environ = host.read(f"/proc/{daemon}/environ").split("\0")
    assert f"TOKEN={TOKEN}" in environ  # it is the app's own, and that is read by its user only
    in_nobodys_hands(host)

    developer.swap(app, "2", {"Makefile": USES_IT, "VERSION": "bad\n"})
    wait_until(lambda: state(host, app)["failures"], PATIENCE, "the bad release fails")
    wait_until(lambda: state(host, app)["run"] is None, PATIENCE, "it goes back")
    in_nobodys_hands(host)

    for line, words in BROKEN.items():
        host.write(f"{ENV}/{app}.env", f"# broken\n{line}\n", mode="600")
        said = f"{ENV}/{app}.env:2: {words}"
        wait_until(lambda said=said: said in state(host, app)["why"], PATIENCE, said)  # type: ignore[misc]
    in_nobodys_hands(host)
    assert host.ok(["kill", "-0", str(daemon)])

    host.write(f"{ENV}/{app}.env", f'TOKEN="{TOKEN}"\n', mode="600")
    host.run(f"rm /root/secret {ENV}/{app}.env")
    clear(fleet, [app])
