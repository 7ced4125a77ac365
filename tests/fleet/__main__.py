"""The fleet for people: `up [N]`, `shell HOST`, `run HOST COMMAND`, `down`, `status`; and more.

`make fleet-up`, `fleet-shell`, `fleet-run` and `fleet-down` call this. `--help` lists what else can
be done to hosts, bricks and disks.
"""

# ruff: noqa: T201 - it talks to a person

import argparse
import sys
import time

from . import image, machine
from .by_hand import DEEDS
from .fleet import Fleet, Shape, sweep


def main() -> int:
    """Do what the command line says, and return the exit status."""
    parser = argparse.ArgumentParser(prog="fleet", description="A fleet of servers on this machine")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="raise a fleet; an earlier one of this name is taken away")
    up.add_argument("apps", type=int, nargs="?", default=3, help="how many app servers")
    shell = commands.add_parser("shell", help="a root shell on a host")
    shell.add_argument("host")
    run = commands.add_parser("run", help="run a command on a host, with its own exit status")
    run.add_argument("host")
    run.add_argument("line", help="a line for bash")
    run.add_argument("--user", default="root")
    commands.add_parser("image", help="build the hosts' image, if it is not there")
    commands.add_parser("status", help="what is up")
    commands.add_parser("down", help="take the fleet away")
    for name, deed in DEEDS.items():
        one = commands.add_parser(
            name, help=f"{deed.takes}: {deed.help}" if deed.takes else deed.help
        )
        one.add_argument("words", nargs="*", metavar="WORD", help=deed.takes)
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            return fleet_up(arguments.apps)
        if arguments.command == "down":
            return fleet_down()
        if arguments.command == "image":
            return fleet_image()
        fleet = Fleet.attach()
        if arguments.command == "status":
            return fleet_status(fleet)
        if arguments.command in DEEDS:
            said = DEEDS[arguments.command].done(fleet, arguments.words)
            print(said, end="\n" if said else "")
            return 0
        host = fleet.host(arguments.host)
        if arguments.command == "shell":
            return host.attached(["/bin/bash", "-l"], terminal=True)
        return host.attached(arguments.line, arguments.user)
    except (RuntimeError, LookupError, ValueError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 70


def fleet_up(apps: int) -> int:
    """Raise a fleet and leave it up."""
    begun = time.monotonic()
    fleet = Fleet(shape=Shape(apps=apps))
    fleet.take()
    try:
        fleet.up()
    except BaseException:
        fleet.down()
        raise
    took = time.monotonic() - begun
    names = ", ".join(fleet.hosts)
    print(f"up in {took:.1f} s, {fleet.memory() / 2**20:.0f} MiB: {names}")
    return 0


def fleet_image() -> int:
    """Build the image, so that no test's time goes into it."""
    lacks = machine.missing()
    if lacks:
        msg = f"no fleet can be raised here, for lack of: {', '.join(lacks)}"
        raise RuntimeError(msg)
    for layer in image.layers():
        print(layer)
    return 0


def fleet_down() -> int:
    """Take the fleet away, however it was left, and those that interrupted tests have left."""
    sweep()
    fleet = Fleet()
    fleet.take()
    fleet.down()
    return 0


def fleet_status(fleet: Fleet) -> int:
    """Print which hosts are up."""
    for host in fleet.hosts.values():
        print(f"{host.name:8} {host.address:12} {'on' if host.running else 'off'}")
    print(f"{fleet.memory() / 2**20:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
