"""Work on pictures, spread over processes of this machine or over a Ray cluster: the same numbers in any number.

Items are cut into contiguous shards, one for each worker; what a worker computes of an item depends on nothing but that
item, results come back in the order of the items, and whoever merges them does so in that order or exactly (smallest,
largest, whole numbers). So neither the number of workers nor their kind can be seen in a result. Torch sums in another
order when it has more threads, so it has one in every worker, also where the only worker is this process.

A shard's state lives in its worker between calls: ``spread`` makes one for each shard, ``call`` runs a method of all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar

from ..support.progress import count_progress
from .crew import Host, usual_workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .crew import Crew, Make, Member

Item = TypeVar("Item")
Result = TypeVar("Result")


class Team:
    """Some workers; a context manager. ``count`` None: one for each processor, but not more than pay off.

    ``ray`` is the address of a Ray cluster, ``local`` for one on this machine. Workers start when the first work comes.
    """

    def __init__(self, count: int | None = None, ray: str | None = None) -> None:
        self._count = count
        self._ray = ray
        self._crew: Crew | None = None

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_remote(self) -> bool:
        """Whether workers may be on other machines, which do not have the temporary files of this one."""
        return self._ray is not None

    def close(self) -> None:
        """Ends the workers, in the middle of their work if need be."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()

    def spread(self, make: Make, items: Sequence[Any], passes: int = 1) -> Shards:
        """A state for each shard; those of an earlier ``spread`` are forgotten. ``passes``: about how many times each
        item will be worked on by these workers: what says whether more than one pays off, when they start."""
        crew = self._open(len(items), passes)
        members = list(crew.members)
        parts = split(items, len(members))
        try:
            shards = Shards(self, crew, members[: len(parts)])
            shards.all("make", [(make, part) for part in parts])
        except BaseException:
            self.close()
            raise
        return shards

    def map(
        self, work: Callable[[Sequence[Item]], Iterable[Result]], items: Sequence[Item], description: str,
        unit: str = "picture", passes: int = 1,
    ) -> list[Result]:  # fmt: skip
        """``work`` gives one result for each item of its shard, in order; so are those returned, of all shards."""
        with count_progress(len(items), description, unit) as count:
            shards = self.spread(partial(_Mapping, work), items, passes)  # within: that they start takes time too
            return [result for part in shards.call("results", on_result=count) for result in part]

    def _open(self, items: int, passes: int) -> Crew:
        if self._crew is None:
            self._crew = self._start(items, passes)
        return self._crew

    def _start(self, items: int, passes: int) -> Crew:
        if self._ray is not None:
            from .ray_cluster import RayCrew  # noqa: PLC0415 - the extra [ray]

            return RayCrew(self._ray, self._count)
        count = min(items, usual_workers(items, passes) if self._count is None else self._count)
        if count <= 1:
            return _Here()
        from .processes import ProcessCrew  # noqa: PLC0415 - what one process does not need

        return ProcessCrew(count)


class Shards:
    """The states of one ``spread``, in the order of their items."""

    def __init__(self, team: Team, crew: Crew, members: Sequence[Member]) -> None:
        self._team = team
        self._crew = crew
        self._members = members

    def call(self, name: str, *arguments: Any, on_result: Callable[[Any], bool] | None = None) -> list[list[Any]]:
        """Runs a method of every state; it returns an iterable, whose values come back in a list for each shard.

        ``on_result`` is given each value as it comes, in any order; once it returns True no more are computed.
        Where workers fail, the error of the first shard among them is raised: the one that a single worker would meet.
        """
        try:
            self.all("begin", [(name, arguments)] * len(self._members))
            return self._collect(on_result or _ignore)
        except BaseException:
            self._team.close()  # some are in the middle of something: whoever goes on gets new ones
            raise

    def _collect(self, on_result: Callable[[Any], bool]) -> list[list[Any]]:
        results: list[list[Any]] = [[] for _ in self._members]
        waiting = {id(member): index for index, member in enumerate(self._members)}
        failed: dict[int, Exception] = {}
        enough = False
        for member in self._members:
            member.ask("take")
        while waiting:
            for member in self._crew.ready([self._members[index] for index in waiting.values()]):
                index = waiting[id(member)]
                try:
                    taken = member.answer()
                    if taken:
                        results[index].append(taken[0])
                        enough = on_result(taken[0]) or enough
                        if not enough:
                            member.ask("take")
                            continue
                except Exception as error:
                    failed[index] = error
                del waiting[id(member)]
            first = min(failed, default=len(self._members))
            if first < min(waiting.values(), default=len(self._members)):
                raise failed[first]
        return results

    def all(self, verb: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """Asks every worker and waits for all answers."""
        for member, given in zip(self._members, arguments):
            member.ask(verb, *given)
        for member in self._members:
            member.answer()


class _Mapping(Generic[Item, Result]):
    """The state of ``map``: nothing but the shard."""

    def __init__(self, work: Callable[[Sequence[Item]], Iterable[Result]], shard: Sequence[Item]) -> None:
        self._work = work
        self._shard = shard

    def results(self) -> Iterable[Result]:
        return self._work(self._shard)


class _Here:
    """This process is the only worker."""

    def __init__(self) -> None:
        self.members = [_HereMember()]

    def ready(self, waiting: Sequence[Member]) -> Sequence[Member]:
        return waiting

    def close(self) -> None:
        self.members[0].close()


class _HereMember:
    def __init__(self) -> None:
        self._host = Host()
        self._asked: tuple[str, tuple[Any, ...]] = ("", ())

    def ask(self, verb: str, *arguments: Any) -> None:
        self._asked = (verb, arguments)

    def answer(self) -> Any:
        verb, arguments = self._asked
        return getattr(self._host, verb)(*arguments)

    def close(self) -> None:
        self._host = Host()


def _ignore(_: Any) -> bool:
    return False


def split(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """At most ``count`` contiguous parts, none of them empty, whose sizes differ by one at most."""
    count = max(1, min(count, len(items)))
    edges = [len(items) * number // count for number in range(count + 1)]
    return [items[begin:end] for begin, end in zip(edges, edges[1:])]
