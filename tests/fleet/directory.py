"""A directory service with users and groups: slapd on one host, nslcd on those that ask it."""

from .host import Host
from .wait import wait_until

PACKAGES = ("slapd", "ldap-utils", "nslcd", "libnss-ldapd")
SERVER = "directory.service"
BASE = "dc=fleet"
RUNNER, PUSHER, TEAM = 5001, 5002, 5100  # ids of users (and of their groups), and of a group
CONFIG = f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/slapd/directory.pid
database mdb
suffix "{BASE}"
directory /var/lib/directory
maxsize 10485760
"""
ENTRIES = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: fleet
dc: fleet

dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{BASE}
objectClass: organizationalUnit
ou: groups
"""
USER = """
dn: uid={name},ou=people,{base}
objectClass: account
objectClass: posixAccount
uid: {name}
cn: {name}
uidNumber: {number}
gidNumber: {number}
homeDirectory: {home}
loginShell: /bin/bash
"""
GROUP = """
dn: cn={name},ou=groups,{base}
objectClass: posixGroup
cn: {name}
gidNumber: {number}
"""
CLIENT = """\
uid nslcd
gid nslcd
uri ldap://{server}/
base {base}
bind_timelimit 10
reconnect_sleeptime 1
reconnect_retrytime 1
"""


def entries() -> str:
    """Return all users and groups, as LDIF."""
    text = ENTRIES
    for name, number in (("runner", RUNNER), ("pusher", PUSHER)):
        text += USER.format(name=name, number=number, base=BASE, home=f"/srv/{name}")
        text += GROUP.format(name=name, number=number, base=BASE)
    return text + GROUP.format(name="team", number=TEAM, base=BASE) + "memberUid: runner\n"


def serve(host: Host) -> None:
    """Fill the directory, and serve it from this host."""
    host.write("/etc/ldap/directory.conf", CONFIG)
    host.write("/root/entries", entries())
    host.run("install -d -o openldap -g openldap /var/lib/directory /run/slapd")
    host.run("slapadd -q -f /etc/ldap/directory.conf -l /root/entries")
    host.run("chown -R openldap:openldap /var/lib/directory")
    start(host)


def start(host: Host) -> None:
    """Start the server."""
    slapd = "/usr/sbin/slapd -d 0 -f /etc/ldap/directory.conf -u openldap -g openldap -h ldap:///"
    host.run(["systemd-run", "-q", f"--unit={SERVER}", *slapd.split()])


def ask(host: Host, server: Host) -> None:
    """Let a host take users and groups from the directory too."""
    host.write("/etc/nslcd.conf", CLIENT.format(server=server.name, base=BASE), mode="640")
    host.run("sed -i 's/^\\(passwd\\|group\\):.*/\\1: files ldap/' /etc/nsswitch.conf")
    host.run("systemctl restart nslcd")
    wait_until(lambda: host.ok("getent passwd runner"), 60, f"{host.name} knows runner")
