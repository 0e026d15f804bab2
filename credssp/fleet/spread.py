"""Work that an executor does: threads, processes, or a cluster of machines.

Any `concurrent.futures.Executor` will do. So much is handed out at a time that every worker has something to do, and no
more; results come back as they are done, in any order; what was lost with a worker is handed out again.
"""

from __future__ import annotations

import concurrent.futures
import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

from credssp.errors import LocalProtocolError

__all__ = ["Lost", "check_sendable", "in_batches", "spread"]

_log = logging.getLogger("credssp.fleet")

_AHEAD: Final = 16
"""Pieces that are handed out at a time by default."""
_RETRIES: Final = 2

T = TypeVar("T")
R = TypeVar("R")


class Lost(Generic[T]):
    """A piece of work that came back from no worker.

    Attributes:
        error: what the last attempt came to.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error


def spread(
    pieces: Iterable[T],
    work: Callable[[T], R],
    executor: concurrent.futures.Executor,
    *,
    ahead: int = _AHEAD,
    retries: int = _RETRIES,
) -> Iterator[tuple[T, R | Lost[T]]]:
    """Yield each piece with its result, in the order in which they are done.

    Args:
        pieces: taken one by one.
        work: what is done with each. It has to be a function that workers can import, and should not raise: an
            exception counts as a lost worker.
        executor: what does it. If it is broken, as a pool is one of whose processes was killed, the rest of the work is
            done here.
        ahead: pieces that are handed out at a time.
        retries: how many more times a lost piece is handed out.
    """
    source = iter(pieces)
    waiting: dict[concurrent.futures.Future[R], tuple[T, int]] = {}

    def hand_out(piece: T, attempt: int) -> None:
        try:
            future = executor.submit(work, piece)
        except (concurrent.futures.BrokenExecutor, RuntimeError) as error:
            _log.warning("the executor is broken, and the work is done here: %s", error)
            future = concurrent.futures.Future()
            try:
                future.set_result(work(piece))
            except Exception as failure:  # noqa: BLE001  # a bug, which is told like that of a worker
                future.set_exception(failure)
        waiting[future] = piece, attempt

    try:
        for piece in source:
            hand_out(piece, 0)
            if len(waiting) >= ahead:
                break
        while waiting:
            done, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                piece, attempt = waiting.pop(future)
                error = _error_of(future)
                if error is None:
                    yield piece, future.result()
                elif attempt < retries:
                    _log.warning("a worker was lost (%s); its work is handed out again", type(error).__name__)
                    hand_out(piece, attempt + 1)
                    continue
                else:
                    yield piece, Lost(error)
                for following in source:
                    hand_out(following, 0)
                    break
    finally:
        for future in waiting:
            future.cancel()


def _error_of(future: concurrent.futures.Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except concurrent.futures.CancelledError as error:
        return error


def in_batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield items in tuples of a size; the last one may be shorter."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


def check_sendable(executor: concurrent.futures.Executor, work: object, what: str) -> None:
    """Refuse work that cannot go to another process.

    Args:
        executor: threads take everything.
        work: the function, with its arguments.
        what: what it holds, for the error.

    Raises:
        LocalProtocolError: it holds a secret, which stays in this process, or something that is of no use elsewhere.
    """
    if isinstance(executor, concurrent.futures.ThreadPoolExecutor):
        return
    try:
        pickle.dumps(work)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise LocalProtocolError(f"{what} cannot be sent to another process: {error}") from None
