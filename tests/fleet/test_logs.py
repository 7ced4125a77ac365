"""What an app prints is told from what others write under its name in the journal."""

import re

from .configured import configured
from .daemons import clear
from .fleet import Fleet
from .host import NOTES
from .steps import held, last_run
from .wait import wait_until

APP = "talks"
FORGED = "rm -rf / is what the manual says"
SAID = 200  # lines, each of a process that has ended by the time that journald looks at it
MAKEFILE = f"""\
NOTES := /var/log/apps
.PHONY: install start restart stop
install:
	@[ "$$(cat VERSION)" = 2 ] || exit 0; touch $(NOTES)/$$APP_NAME.installs; \\
	while [ -e $(NOTES)/$$APP_NAME.hold-install ]; do sleep 0.1; done; \\
	i=0; while [ $$i -lt {SAID} ]; do i=$$((i+1)); /bin/echo "said $$i."; done; \\
	/bin/echo "no database"; exit 3
start:
	@setsid sh -c 'while :; do echo "still here"; sleep 0.2; done' < /dev/null &
restart stop:
	@true
"""
# By each way into the journal, and with each word that could make it the app's.
FORGE = r"""
import socket, subprocess, sys
app, text = sys.argv[1:]
name, unit = f"appagent-{app}", f"appagent-{app}.slice"
subprocess.run(["logger", "-t", name, f"{text} by syslog"], check=True)
stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
stream.connect("/run/systemd/journal/stdout")
stream.sendall(f"{name}\n{unit}\n6\n0\n0\n0\n0\n{text} by a stream\n".encode())
stream.close()
fields = {"MESSAGE": f"{text} by fields", "SYSLOG_IDENTIFIER": name, "APP": app, "_UID": 0,
          "UNIT": unit, "_SYSTEMD_UNIT": unit, "_SYSTEMD_SLICE": unit, "KIND": "deploy.done"}
data = "".join(f"{key}={value}\n" for key, value in fields.items()).encode()
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(data, "/run/systemd/journal/socket")
"""
WAYS = ("by syslog", "by a stream", "by fields")


def test_lines_of_others_under_the_name_of_an_app_are_none_of_its(fleet: Fleet) -> None:
    """In `logs` and with the run that failed is all that the app printed, and nothing else."""
    host = fleet.apps[0]

    def logs() -> str:
        return host.out(["appagent", "logs", APP, "-n", "1000"])

    with (
        configured([host], "defaults: {retry: {first: 1h, max: 1h}}\n"),
        held(host, APP, "install"),
    ):
        fleet.developer.swap(APP, "1", {"Makefile": MAKEFILE, "VERSION": "1\n"})
        wait_until(lambda: "still here" in logs(), 60, "what the start has left prints")
        fleet.developer.swap(APP, "2", {"Makefile": MAKEFILE, "VERSION": "2\n"})
        wait_until((host.root / NOTES / f"{APP}.installs").exists, 60, "the install of 2 begins")
        host.run(["python3", "-c", FORGE, APP, FORGED], user="nobody")
        named = host.journal(f"SYSLOG_IDENTIFIER=appagent-{APP}")
        written = {line["MESSAGE"] for line in named if FORGED in line["MESSAGE"]}
        assert written == {f"{FORGED} {way}" for way in WAYS}
        (host.root / NOTES / f"{APP}.hold-install").unlink()
        wait_until(lambda: last_run(host, APP)["outcome"] == "failed", 60, "the install fails")

        run = last_run(host, APP)
        assert FORGED not in run["tail"]
        assert f"said {SAID}.\nno database\n" in run["tail"].replace("still here\n", "")
        shown = logs()
        assert FORGED not in shown
        assert re.search(r"make install failed after [\d.]+ s: exit 2: .", shown)
        said = [f": said {number}.\n" in shown for number in range(1, SAID + 1)]
        assert said == [True] * SAID
        count = shown.count("still here")
        wait_until(lambda: logs().count("still here") > count, 30, "it is read also after that")
    clear(fleet, [APP])
