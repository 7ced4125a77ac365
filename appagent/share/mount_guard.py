"""Whether a path lies on the mount that it should lie on: asked before and after every poll.

On a directory whose share is not mounted everything seems to be missing, and while a share is being
mounted a poll may see half of each. So what was seen counts only if the same, right mount was there
before it and after it.
"""

from __future__ import annotations

from appagent.host.mounts import Mount, Mounts, real
from appagent.model.words import Layout
from appagent.share.disk import Disk
from appagent.share.layouts import Inspection, inspect
from appagent.share.state import RootState, Work


class NotMounted(Exception):
    """A path cannot be polled: its share is not mounted, or was mounted anew meanwhile."""


class MountGuard:
    """Answers by the mount table; each thread has its own, on its own disk."""

    def __init__(self, disk: Disk, work: Work | None = None) -> None:
        self.disk = disk
        self._work = work or Work()
        self._mounts = Mounts("")

    @property
    def table(self) -> Mounts:
        """The mount table as it was last read."""
        return self._mounts

    def mounts(self) -> Mounts:
        """Read the mount table, if the kernel reports a change."""
        text = self.disk.mountinfo()
        if text is not self._mounts.text and text != self._mounts.text:
            self._mounts = Mounts(text)
        return self._mounts

    def real(self, path: str) -> str:
        """Resolve the local part of a path."""
        return real(path, self.mounts(), self._link)

    def of_root(self, root: RootState) -> Mount:
        """Return the mount that a root lies on. Raises NotMounted if it is not the right one."""
        mount = self.mounts().holding(root.real)
        self.need_own(mount, root.path)
        spec = root.spec
        if spec.must_mount and not mount.is_right_for(root.real, was_share=spec.was_share):
            raise NotMounted(
                f"{root.path} is not mounted: it lies on {mount.fstype or 'nothing'} "
                f"at {mount.point}"
            )
        return mount

    def need_own(self, mount: Mount, path: str) -> None:
        """Raise NotMounted for what belongs to another watcher, now or soon."""
        share = self._work.watchlist.share
        if share is None or share == (mount.point if mount.is_share else ""):
            return
        if mount.is_share:
            raise NotMounted(
                f"{mount.fstype} is mounted on {mount.point} now; its watcher is being started"
            )
        raise NotMounted(f"{path} is not mounted any more: {share} is unavailable")

    @staticmethod
    def unmoved(before: Mount, after: Mount) -> None:
        """Raise NotMounted if something was mounted during a poll."""
        if before != after:
            raise NotMounted(f"{after.point} was mounted again during the poll")
        if after.fstype == "autofs":  # the poll should have mounted what it stands for
            raise NotMounted(f"{after.point}: nothing is mounted there, only the automounter")

    def inspect(self, root: RootState, app: str, layout: Layout | None) -> Inspection:
        """Inspect an app of a root, by the mount table as it was last read."""
        rule = AllowedPaths(self._mounts, self._mounts.holding(root.real))
        return inspect(self.disk, root.path, app, layout, rule, others=self.others(root))

    def others(self, root: RootState) -> tuple[str, ...]:
        """The directories besides a root that its apps' files may lie in, and their real paths."""
        dirs = root.spec.release_dirs
        return (root.real, *dirs, *map(self.real, dirs))

    def mounted_below(self, root: RootState) -> frozenset[str]:
        """The mount points inside a root, as the root is configured."""
        points = self._mounts.below(root.real)
        if not points:
            return points
        cut = len(root.real.rstrip("/"))
        return frozenset(root.path.rstrip("/") + point[cut:] for point in points)

    def _link(self, path: str) -> str | None:
        try:
            return self.disk.readlink(path)
        except OSError:  # not a link, or not readable
            return None


class AllowedPaths:
    """Keeps links off other shares, which have watchers of their own and may hang by themselves."""

    def __init__(self, mounts: Mounts, own: Mount) -> None:
        self._mounts = mounts
        self._own = own

    def __call__(self, path: str) -> str:
        """Return why a path must not be touched; "" if it may."""
        mount = self._mounts.holding(path)
        if not mount.is_share or mount.point == self._own.point:
            return ""
        return f"leads to another share, {mount.point}"
