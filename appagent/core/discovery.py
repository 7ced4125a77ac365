"""Which apps there are, by the listings of their roots: new, present, absent, or moved.

Theory of operation. A good listing names the apps of a root. One that it does not name is absent,
and absence has to last: `absent_since` is kept only over an unbroken series of good listings. An
empty directory does not count (nothing is mounted there), and neither does a mass removal: more
than half of a root's apps at once. Each of those is unknown until it is back or is forgotten by a
person.

An app belongs to the root that its record names. Another root that lists the same name gets it
once it is removed from the first, or is not managed there any more; until then it is refused.
"""

from __future__ import annotations

from dataclasses import replace

from appagent.core.names import managed
from appagent.core.state import App, Attempt, Seen
from appagent.core.transition import Turn
from appagent.model.applied import Record
from appagent.model.commands import PollNow, Rewatch
from appagent.model.notices import NoticeKind
from appagent.model.seen import RootSeen


def apps_of(turn: Turn, root: str) -> list[str]:
    """The names of the apps that belong to a root."""
    return [name for name, app in turn.node.apps.items() if app.record.root == root]


def entry(root: str, name: str) -> str:
    """The path of an entry of a root."""
    return f"{root.rstrip('/')}/{name}"


def note_refused(turn: Turn, seen: RootSeen) -> None:
    """Report once for each entry that cannot be an app why it cannot."""
    mine = {entry(seen.root, name): why for name, why in seen.refused.items()}
    for path, why in mine.items():
        if turn.node.refused.get(path) != why:
            turn.report(NoticeKind.APP_REFUSED, path=path, reason=why)
    taken = {entry(seen.root, name) for name in seen.names}
    others = {
        path: why
        for path, why in turn.node.refused.items()
        if path in taken or path != entry(seen.root, path.rpartition("/")[2])
    }
    turn.node = replace(turn.node, refused={**others, **mine})


def note_names(turn: Turn, seen: RootSeen) -> None:
    """Compare the names in a root with the apps that are known there."""
    names = set(seen.names)
    for name in apps_of(turn, seen.root):
        app = turn.node.apps[name]
        state = app.seen
        if state.listed is False and name in names:
            # What was seen before it was absent may not be there any more.
            late = state.latest is not None and state.latest.at < seen.at
            state = replace(state, latest=None) if late else state
            turn.do(PollNow(seen.root, name))
        turn.put(replace(app, seen=replace(state, listed=name in names)))
        turn.touch(name)
    note_absence(turn, seen.root)
    take_in(turn)


def note_absence(turn: Turn, root: str) -> None:
    """Note since when each app of a root is absent, and which absence is a mass removal."""
    listing = turn.node.listing(root)
    good = listing is not None and not listing.empty
    apps = [turn.node.apps[name] for name in apps_of(turn, root)]
    many = vanished(turn, apps) if good else False
    for app in apps:
        if app.seen.listed is not False:
            # While the root is unknown, nothing is back either.
            back = app.seen.listed is True and good
            believed = replace(app.record, mass_removal=False, forgotten=False)
            kept = turn.save(app, believed) if back else app
            turn.put(replace(kept, seen=replace(kept.seen, absent_since=None)))
            continue
        fresh = not absent_for_long(turn, app)
        mass_removal = app.record.mass_removal or (many and fresh and not app.record.forgotten)
        since = app.seen.absent_since if app.seen.absent_since is not None else turn.now.mono
        counted = since if good and not mass_removal else None
        # After a restart nobody would know which apps were removed together.
        kept = turn.save(app, replace(app.record, mass_removal=mass_removal))
        turn.put(replace(kept, seen=replace(kept.seen, absent_since=counted)))


def absent_for_long(turn: Turn, app: App) -> bool:
    """Whether it already counts as removed: then it is not part of a newer mass removal."""
    after = turn.node.settings_of(app).gone_after
    return app.seen.absent_since is not None and app.seen.absent_since + after <= turn.now.mono


def vanished(turn: Turn, apps: list[App]) -> bool:
    """Whether more than half of a root's apps, and at least two, are absent at once."""
    known = [app for app in apps if not app.record.forgotten and not absent_for_long(turn, app)]
    absent = [app for app in known if app.seen.listed is False]
    return len(absent) >= 2 and 2 * len(absent) > len(known)  # noqa: PLR2004 - the design's rule


def take_in(turn: Turn) -> None:
    """Add an app for each new name that a root lists; report the names that are taken."""
    for root in turn.node.settings.roots:
        listing = turn.node.listing(root.path)
        for name in sorted(listing.names) if listing is not None else ():
            if not managed(name, root.include, root.exclude):
                continue
            known = turn.node.apps.get(name)
            if known is None:
                turn.put(App(Record(app=name, root=root.path), Seen(listed=True)))
                turn.do(Rewatch())  # its env files are to be read
                turn.do(PollNow(root.path, name))
                turn.touch(name)
            elif known.record.root != root.path:
                if unmanaged(turn, known):
                    move(turn, known, root.path)
                elif known.seen.listed is True:
                    refuse(turn, known, root.path)
                else:
                    turn.touch(name)  # it may have moved here


def include(turn: Turn, excluded: list[str]) -> None:
    """Forget what was seen of apps that the configuration left out until now.

    Nothing was scanned meanwhile, and absence counts only while an app is managed here.
    """
    for name in excluded:
        app = turn.node.apps[name]
        old = app.seen
        if (old.latest is not None or old.listed is not None) and not unmanaged(turn, app):
            since = turn.now.mono if old.listed is False else None
            seen = Seen(own=old.own, own_error=old.own_error, listed=old.listed, absent_since=since)
            turn.put(replace(app, seen=seen))
            turn.do(PollNow(app.record.root, name))


def unmanaged(turn: Turn, app: App) -> bool:
    """Whether the configuration leaves the app out where it was."""
    root = turn.node.root_settings(app.record.root)
    return root is None or not managed(app.name, root.include, root.exclude)


def refuse(turn: Turn, app: App, root: str) -> None:
    """Report once that a name is taken."""
    path = entry(root, app.name)
    why = f"an app of this name is in {app.record.root} already; names are unique on a node"
    if turn.node.refused.get(path) != why:
        turn.report(NoticeKind.APP_REFUSED, path=path, reason=why)
        turn.node = replace(turn.node, refused={**turn.node.refused, path: why})


def moved_to(turn: Turn, app: App) -> str:
    """Another root that lists an app which is removed from its own, or ""."""
    for root in turn.node.settings.roots:
        listing = turn.node.listing(root.path)
        if listing is None or root.path == app.record.root or app.name not in listing.names:
            continue
        if managed(app.name, root.include, root.exclude):
            return root.path
    return ""


def move(turn: Turn, app: App, root: str) -> None:
    """Assign the app to another root; what is applied of it here stays as it is."""
    if app.record.root:  # "": the record was lost
        turn.report(NoticeKind.APP_MOVED, app, root=root, old_root=app.record.root)
    app = turn.save(app, replace(app.record, root=root, mass_removal=False, forgotten=False))
    attempt = Attempt(permit=app.attempt.permit)
    turn.put(App(app.record, Seen(listed=True), attempt, starting=app.starting))
    path = entry(root, app.name)
    others = {other: why for other, why in turn.node.refused.items() if other != path}
    turn.node = replace(turn.node, refused=others)
    turn.do(Rewatch())
    turn.do(PollNow(root, app.name))
    turn.touch(app.name)
