"""A Dask cluster as an executor (extra ``dask``)."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Final

from credssp.errors import LocalProtocolError

__all__ = ["dask_executor"]

_CONNECT: Final = 15
"""Seconds for the scheduler to answer."""


@contextlib.contextmanager
def dask_executor(address: str) -> Iterator[tuple[concurrent.futures.Executor, int]]:
    """Connect to a cluster for a block.

    Credentials for ``tls://`` come from Dask's own configuration (``distributed.comm.tls``). Workers need this library
    in the same version.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Yields:
        The executor, and how many pieces of work should be out at a time.

    Raises:
        LocalProtocolError: distributed is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client, Security
    except ImportError:
        raise LocalProtocolError("Dask is missing: pip install 'credssp[dask]' (in a clone: '.[dask]')") from None
    try:
        security = Security() if address.startswith("tls://") else None
        client = Client(address, timeout=_CONNECT, security=security, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise LocalProtocolError(f"no Dask scheduler answers at {address}: {error or type(error).__name__}") from None
    with client:
        threads = sum(client.nthreads().values())
        # Not "pure": what was lost is not to be answered with the loss.
        executor: concurrent.futures.Executor = client.get_executor(pure=False)
        yield executor, max(4, 2 * threads)
