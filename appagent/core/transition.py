"""One turn of the core: the node as it changes, and the commands that are decided.

Only `step` makes a turn, and only the core's own functions see it; from outside, `step` is a
function from values to values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Unpack

from appagent.core.state import App, Node
from appagent.model.applied import Record
from appagent.model.commands import Begin, Command, Drop, End, Proceed, Report, ReturnPermit, Save
from appagent.model.notices import Fields, NoticeKind, notice
from appagent.model.permit import Permit
from appagent.model.words import Now


@dataclass(slots=True)
class Turn:
    """The node during one event."""

    node: Node
    now: Now
    commands: list[Command] = field(default_factory=list)
    due: dict[str, None] = field(default_factory=dict)  # apps to compare before the turn ends
    own: dict[str, App] | None = None  # the node's apps, once this turn has changed one

    def app(self, name: str) -> App | None:
        """An app as it is now."""
        return self.node.apps.get(name)

    def put(self, app: App) -> App:
        """Put in or replace an app."""
        self._give_back(app.name, app.attempt.permit)
        self._apps()[app.name] = app
        return app

    def drop(self, name: str) -> None:
        """Take an app out."""
        self._give_back(name, None)
        del self._apps()[name]

    def _give_back(self, name: str, kept: Permit | None) -> None:
        """Give back the permit of an app, unless it keeps just that one."""
        app = self.app(name)
        permit = app.attempt.permit if app is not None else None
        if permit is not None and permit != kept:
            self.do(ReturnPermit(name, permit))

    def _apps(self) -> dict[str, App]:
        """The apps of the new node: copied once a turn, however many of them change."""
        if self.own is None:
            self.own = dict(self.node.apps)
            self.node = replace(self.node, apps=self.own)
        return self.own

    def save(self, app: App, record: Record) -> App:
        """Replace an app's record, and have it written before anything that follows.

        What one turn decides about a record is written in one go: after a crash there is no end of
        a run without its consequences. Only a command to a shim separates two saves. A deploy that
        began is in the record, so that the next agent continues it.
        """
        deploy = app.attempt.deploy
        record = replace(record, deploy=deploy if deploy and deploy.began else None)
        if record != app.record:
            index = self.unwritten(app.name)
            if index is None:
                self.do(Save(record))
            else:
                self.commands[index] = Save(record)
        return self.put(replace(app, record=record))

    def unwritten(self, name: str) -> int | None:
        """The index of this turn's last save of an app, unless its shim got a command since."""
        for index in range(len(self.commands) - 1, -1, -1):
            match self.commands[index]:
                case Save(record) if record.app == name:
                    return index
                case Begin() | Proceed() | End() | Drop():
                    return None
                case _:
                    pass
        return None

    def do(self, command: Command) -> None:
        """Decide a command."""
        self.commands.append(command)

    def touch(self, *names: str) -> None:
        """Have these apps compared before the turn ends."""
        self.due.update(dict.fromkeys(names))

    def report(self, kind: NoticeKind, app: App | None = None, /, **fields: Unpack[Fields]) -> None:
        """Report what happened; the app's deploy is named with it, unless another one is given."""
        if app is not None and app.attempt.deploy is not None:
            fields.setdefault("deploy_id", app.attempt.deploy.id)
        name = app.name if app is not None else ""
        self.do(Report(notice(kind, self.now, name, **fields)))

    def make_id(self) -> str:
        """An id that no other run or deploy of this node has: the time, and a count."""
        self.node = replace(self.node, runs=self.node.runs + 1)
        return f"{int(self.now.wall * 1000):011x}-{self.node.runs}"
