"""When workers are replaced, and how that goes on, step by step."""

from __future__ import annotations

from collections.abc import Collection

from control.recycle import GIVE_UP_SECONDS, TRY_AGAIN_SECONDS, Recycler, Vitals


class Workers:
    """A fleet on paper. `ready` are successors that serve everything."""

    def __init__(self, *names: str) -> None:
        self.serving = list(names)
        self.running = set(names)
        self.unsettled: set[str] = set()
        self.ready: set[str] = set()
        self.said = {name: Vitals(f"{name}#1", 0, 100) for name in names}
        self.acts: list[str] = []

    def workers(self) -> Collection[str]:
        return list(self.serving)

    def vitals(self, name: str) -> Vitals | None:
        return self.said.get(name)

    def has_settled(self, name: str) -> bool:
        return name not in self.unsettled

    def start_successor(self, name: str) -> str:
        new = f"{name}'"
        self.acts.append(f"start {new}")
        self.running.add(new)
        return new

    def can_replace(self, successor: str, name: str) -> bool:
        return successor in self.ready

    def hand_over(self, successor: str, name: str) -> None:
        self.acts.append(f"{successor} for {name}")
        self.serving[self.serving.index(name)] = successor
        self.said[successor] = Vitals(f"{successor}#1", 0, 100)

    def abandon(self, successor: str) -> None:
        self.acts.append(f"abandon {successor}")
        self.running.discard(successor)

    def runs(self, name: str) -> bool:
        return name in self.running

    def take(self) -> list[str]:
        acts, self.acts = self.acts, []
        return acts


def recycler(workers: Workers, *, after_unloads: int = 0, memory_growth_bytes: int = 0) -> Recycler:
    return Recycler(workers, after_unloads=after_unloads, memory_growth_bytes=memory_growth_bytes)


def test_nobody_is_replaced_without_a_reason() -> None:
    workers = Workers("a")
    made = recycler(workers)
    workers.said["a"] = Vitals("a#1", 1_000, 1 << 40)
    made.tick(1.0)
    assert workers.take() == []


def test_one_after_another_on_demand() -> None:
    workers = Workers("a", "b")
    made = recycler(workers)
    made.ask(["a", "b"])
    made.ask(["a"])
    made.tick(0.0)
    made.tick(1.0)
    assert workers.take() == ["start a'"]
    workers.ready.add("a'")
    made.tick(2.0)
    made.tick(3.0)
    assert workers.take() == ["a' for a"]
    workers.running.discard("a")
    made.tick(4.0)
    made.tick(5.0)
    assert workers.take() == ["start b'"]
    workers.ready.add("b'")
    made.tick(6.0)
    workers.running.discard("b")
    made.tick(7.0)
    made.tick(8.0)
    assert (workers.take(), workers.serving, made.finished) == (["b' for b"], ["a'", "b'"], 2)


def test_after_so_many_unloads() -> None:
    workers = Workers("a")
    made = recycler(workers, after_unloads=3)
    for unloads in range(3):
        workers.said["a"] = Vitals("a#1", unloads, 100)
        made.tick(0.0)
    assert workers.take() == []
    workers.said["a"] = Vitals("a#1", 3, 100)
    made.tick(0.0)
    assert workers.take() == ["start a'"]


def test_memory_is_compared_with_what_it_was_once_the_models_were_there() -> None:
    workers = Workers("a")
    workers.unsettled.add("a")
    made = recycler(workers, memory_growth_bytes=50)
    made.tick(0.0)
    workers.said["a"] = Vitals("a#1", 0, 1_000)
    made.tick(0.0)
    workers.unsettled.clear()
    made.tick(0.0)
    workers.said["a"] = Vitals("a#1", 0, 1_049)
    made.tick(0.0)
    assert workers.take() == []
    # A worker that was restarted begins anew.
    workers.said["a"] = Vitals("a#2", 0, 1_200)
    made.tick(0.0)
    assert workers.take() == []
    workers.said["a"] = Vitals("a#2", 0, 1_250)
    made.tick(0.0)
    assert workers.take() == ["start a'"]


def test_a_worker_that_is_loading_is_left_alone() -> None:
    workers = Workers("a")
    workers.unsettled.add("a")
    made = recycler(workers)
    made.ask(["a"])
    made.tick(0.0)
    assert workers.take() == []
    workers.unsettled.clear()
    made.tick(0.0)
    assert workers.take() == ["start a'"]


def test_a_successor_that_does_not_come_is_given_up_and_tried_again_later() -> None:
    workers = Workers("a")
    made = recycler(workers, after_unloads=1)
    workers.said["a"] = Vitals("a#1", 1, 100)
    made.tick(0.0)
    made.tick(GIVE_UP_SECONDS)
    assert workers.take() == ["start a'"]
    made.tick(GIVE_UP_SECONDS + 1)
    assert (workers.take(), workers.serving) == (["abandon a'"], ["a"])
    made.tick(GIVE_UP_SECONDS + TRY_AGAIN_SECONDS)
    assert workers.take() == []
    made.tick(GIVE_UP_SECONDS + TRY_AGAIN_SECONDS + 1)
    assert workers.take() == ["start a'"]
    # One that crashes is given up at once.
    workers.running.discard("a'")
    made.tick(GIVE_UP_SECONDS + TRY_AGAIN_SECONDS + 2)
    assert workers.take() == ["abandon a'"]
    made.ask(["a"])
    made.tick(GIVE_UP_SECONDS + TRY_AGAIN_SECONDS + 3)
    assert workers.take() == ["start a'"]


def test_a_worker_that_has_gone_is_not_replaced() -> None:
    workers = Workers("a")
    made = recycler(workers)
    made.ask(["b"])
    made.tick(0.0)
    assert workers.take() == []
