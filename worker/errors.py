"""What can go wrong inside the worker. The type says what the caller does next; the text says what happened and the remedy."""

from collections.abc import Sequence


class WorkerError(Exception):
    """The worker could not do what was asked."""


class LeaseLost(WorkerError):
    """Another worker holds this item or lease now: drop what was done, apply nothing. Not a fault of the item."""


class UnknownRun(WorkerError):
    """There is no run of this id in the ledger."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run {run_id!r} in the ledger. `scoresync runs` lists them.")
        self.run_id = run_id


class WrongState(WorkerError):
    """The run is not in a state in which this can be done to it."""

    def __init__(self, run_id: str, state: str, wanted: str) -> None:
        super().__init__(f"Run {run_id} is {state!r}; this can be done only to a run that is {wanted}.")
        self.run_id, self.state, self.wanted = run_id, state, wanted


class ItemTimeout(WorkerError):
    """The item ran past its time limit and was stopped. It is tried again; if that happens each time, raise SCORESYNC_ITEM_LIMIT_S."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class AlertError(WorkerError):
    """A message could not be delivered. `permanent`: trying again is useless until an admin changes the channel's settings."""

    def __init__(self, text: str, *, permanent: bool) -> None:
        super().__init__(text)
        self.permanent = permanent


class UnknownAccount(WorkerError):
    """Records of a second connection that belong to no account."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(ids)}: no account has this as its counterpart. The last run's unmatched.parquet says why; fill in the cross-reference."
        )
