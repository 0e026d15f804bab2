"""The program at the other end of the agent's socket, as the kernel describes it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that is connected to the agent.

    Attributes:
        uid: its user, by SO_PEERCRED: decides which credentials it may name.
        pid: its process, by SO_PEERCRED; 0 where the system does not tell. For the audit: a process may hand its
            connection to another one.
        executable: the path of its program, by ``/proc/PID/exe``; empty where it cannot be read. For the audit only:
            another program may have taken over the number of a process that has ended.
    """

    uid: int
    pid: int
    executable: str
