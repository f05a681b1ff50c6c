"""Work items, for steps and executors: the one place to import them from.

A step module is

    def plan(ctx: StepContext) -> list[NewItem]           the step's items
    def run(ctx: StepContext, item: Item) -> Outcome      does one of them

`run` touches nothing in SQL that counts: what must be atomic is in its Outcome, which is applied with the item's end in one transaction.
"""

from typing import Protocol

from worker.context import Progress, StepContext
from worker.store.queue import Terms, claim, claim_next, finish, give_back, is_ours, park, release, renew
from worker.store.work import PLAN, CursorKey, Item, LakeFile, NewItem, Outcome, Run, RunKind, RunState


class Step(Protocol):
    """A module of `worker/steps`."""

    @property
    def __name__(self) -> str: ...

    def plan(self, ctx: StepContext) -> list[NewItem]: ...

    def run(self, ctx: StepContext, item: Item) -> Outcome: ...


__all__ = [
    "PLAN",
    "CursorKey",
    "Item",
    "LakeFile",
    "NewItem",
    "Outcome",
    "Progress",
    "Run",
    "RunKind",
    "RunState",
    "Step",
    "StepContext",
    "Terms",
    "claim",
    "claim_next",
    "finish",
    "give_back",
    "is_ours",
    "park",
    "release",
    "renew",
]
