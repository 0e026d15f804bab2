"""Which step is legal when: the one transition table of both roles.

A login, seen from above TLS ([MS-CSSP] 3.1.5)::

    client                                                   server
      negoTokens                      ->                                   SPNEGO, NTLM or Kerberos,
                                      <-                 negoTokens        as many legs as it takes
      negoTokens + pubKeyAuth         ->                                   "I saw this TLS key, and I know the secret"
                                      <-     pubKeyAuth [+ negoTokens]     "so did I, and so do I"
      authInfo                        ->                                   the credentials

States say what is awaited: from the peer (``EXPECT_...``) or from this side (``SEND_...``, ``VERIFY_...``,
``DECIDE_...``, ``OPEN_...``, ``AWAIT_...``). Steps are what happens: ``RECV_x`` and ``SEND_x`` are messages, by the
fields they carry; the others are checks of this side that passed. What is not in the table is not legal: a received
message breaks the protocol, a call of ours is a bug.

Two properties of the table carry the security of the protocol, and `tests/engine/test_state.py` walks every path to
hold them:

* a client reaches ``SEND_AUTH_INFO`` only through ``SERVER_KEY_VERIFIED`` and ``DELEGATION_ALLOWED``;
* a server reaches ``RECV_AUTH_INFO`` only through ``CLIENT_KEY_VERIFIED``.

``SEND_KEY_AGAIN`` is for servers that ignore the pubKeyAuth beside the client's last token, answer with the last token
of theirs, and take pubKeyAuth only after that: FreeRDP 3 with SPNEGO and NTLM, which also returns the client's own
pubKeyAuth in that answer (fixtures/freerdp-3.10.3-shadow-spnego). It weakens neither property. The repetition consists
of bytes that the server has already, so it tells a man in the middle nothing new, and the server judges no second proof
of the password. The answer to it is the only thing that leads on, and it is verified like any other: what came back is
dropped before it could be verified, so an echo never counts as the server's proof. And the repetition leads to a state
of its own, from which no row leads back, so there is at most one.

A server that has to ask a logon authority stops between two steps (``AWAIT_ANSWER``): its owner asks, and continues
with the answer. What the client sends meanwhile waits.

``FAILED`` is final, and every state has a way there: an errorCode from the peer, or any check that does not pass.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["INITIAL", "TRANSITIONS", "Role", "State", "Step", "next_state"]


class Role(enum.Enum):
    """The two sides of an exchange."""

    CLIENT = "client"
    SERVER = "server"


class State(enum.Enum):
    """What is awaited."""

    # Members are looked up by the dozen in a login, and Enum's own hash is a function in Python.
    __hash__ = object.__hash__

    # Client
    SEND_FIRST_TOKEN = "send first token"
    EXPECT_NEGO_TOKEN = "expect negoTokens"
    SEND_NEXT_TOKEN = "send next token"
    EXPECT_SERVER_KEY = "expect the server's pubKeyAuth"
    REPEAT_KEY = "send pubKeyAuth again"
    EXPECT_LATE_SERVER_KEY = "expect the server's pubKeyAuth after the repetition"
    VERIFY_SERVER_KEY = "verify the server's pubKeyAuth"
    DECIDE_DELEGATION = "decide about delegation"
    SEND_CREDENTIALS = "send authInfo"
    # Server
    EXPECT_CLIENT_TOKEN = "expect the client's negoTokens"
    ANSWER_TOKEN = "answer negoTokens"
    ANSWER_TOKEN_WITH_KEY = "answer negoTokens that came with pubKeyAuth"
    AWAIT_ANSWER = "await the answer of the logon authority"
    AWAIT_ANSWER_WITH_KEY = "await the answer of the logon authority; pubKeyAuth is here"
    EXPECT_CLIENT_KEY = "expect the client's pubKeyAuth"
    VERIFY_CLIENT_KEY = "verify the client's pubKeyAuth"
    SEND_SERVER_KEY = "send pubKeyAuth"
    EXPECT_CREDENTIALS = "expect authInfo"
    OPEN_CREDENTIALS = "open authInfo"
    # Both
    COMPLETE = "complete"
    FAILED = "failed"


class Step(enum.Enum):
    """What happened."""

    __hash__ = object.__hash__  # as for State

    SEND_NEGO = "send negoTokens"
    SEND_LAST_NEGO = "send the last negoTokens, after which the mechanism can protect messages"
    SEND_NEGO_AND_KEY = "send negoTokens and pubKeyAuth"
    SEND_KEY = "send pubKeyAuth"
    SEND_KEY_AGAIN = "send the same pubKeyAuth again, alone"
    SEND_AUTH_INFO = "send authInfo"
    RECV_NEGO = "receive negoTokens"
    RECV_NEGO_AND_KEY = "receive negoTokens and pubKeyAuth"
    RECV_KEY = "receive pubKeyAuth"
    RECV_AUTH_INFO = "receive authInfo"
    RECV_ERROR_CODE = "receive errorCode"
    WAIT_FOR_KEY = "nothing to answer, pubKeyAuth still to come"
    MECHANISM_READY = "the mechanism can protect messages"
    ASK_AUTHORITY = "a logon authority has to be asked"
    ANSWER_GIVEN = "the logon authority has answered"
    SERVER_KEY_VERIFIED = "the server's pubKeyAuth is right"
    CLIENT_KEY_VERIFIED = "the client's pubKeyAuth is right"
    DELEGATION_ALLOWED = "the policy allows to delegate"
    CREDENTIALS_OPENED = "authInfo opens and decodes"
    FAIL = "fail"


INITIAL: Final = MappingProxyType({Role.CLIENT: State.SEND_FIRST_TOKEN, Role.SERVER: State.EXPECT_CLIENT_TOKEN})


def _table(
    rows: Mapping[State, Mapping[Step, State]], receiving: frozenset[State]
) -> Mapping[State, Mapping[Step, State]]:
    """Add the ways to FAILED, which are the same everywhere."""
    table: dict[State, Mapping[Step, State]] = {}
    for state, steps in rows.items():
        more = {Step.FAIL: State.FAILED}
        if state in receiving:
            more[Step.RECV_ERROR_CODE] = State.FAILED
        table[state] = MappingProxyType({**steps, **more})
    table[State.COMPLETE] = MappingProxyType({})
    table[State.FAILED] = MappingProxyType({})
    return MappingProxyType(table)


TRANSITIONS: Final[Mapping[Role, Mapping[State, Mapping[Step, State]]]] = MappingProxyType(
    {
        Role.CLIENT: _table(
            {
                State.SEND_FIRST_TOKEN: {Step.SEND_NEGO: State.EXPECT_NEGO_TOKEN},
                State.EXPECT_NEGO_TOKEN: {Step.RECV_NEGO: State.SEND_NEXT_TOKEN},
                State.SEND_NEXT_TOKEN: {
                    Step.SEND_NEGO: State.EXPECT_NEGO_TOKEN,
                    # The last security token and pubKeyAuth share one TSRequest (step 3) ...
                    Step.SEND_NEGO_AND_KEY: State.EXPECT_SERVER_KEY,
                    # ... unless the mechanism ends with a token of the server (Kerberos' AP-REP).
                    Step.SEND_KEY: State.EXPECT_SERVER_KEY,
                },
                State.EXPECT_SERVER_KEY: {
                    Step.RECV_KEY: State.VERIFY_SERVER_KEY,
                    # SPNEGO's last token (accept-completed, mechListMIC) rides along from some servers.
                    Step.RECV_NEGO_AND_KEY: State.VERIFY_SERVER_KEY,
                    # Its last token, while it ignored our pubKeyAuth or returned it (FreeRDP 3 with SPNEGO).
                    Step.RECV_NEGO: State.REPEAT_KEY,
                },
                State.REPEAT_KEY: {Step.SEND_KEY_AGAIN: State.EXPECT_LATE_SERVER_KEY},
                State.EXPECT_LATE_SERVER_KEY: {
                    Step.RECV_KEY: State.VERIFY_SERVER_KEY,
                    Step.RECV_NEGO_AND_KEY: State.VERIFY_SERVER_KEY,  # FreeRDP 3 sends its last token a second time
                },
                State.VERIFY_SERVER_KEY: {Step.SERVER_KEY_VERIFIED: State.DECIDE_DELEGATION},
                State.DECIDE_DELEGATION: {Step.DELEGATION_ALLOWED: State.SEND_CREDENTIALS},
                State.SEND_CREDENTIALS: {Step.SEND_AUTH_INFO: State.COMPLETE},
            },
            frozenset({State.EXPECT_NEGO_TOKEN, State.EXPECT_SERVER_KEY, State.EXPECT_LATE_SERVER_KEY}),
        ),
        Role.SERVER: _table(
            {
                State.EXPECT_CLIENT_TOKEN: {
                    Step.RECV_NEGO: State.ANSWER_TOKEN,
                    Step.RECV_NEGO_AND_KEY: State.ANSWER_TOKEN_WITH_KEY,
                },
                State.ANSWER_TOKEN: {
                    Step.SEND_NEGO: State.EXPECT_CLIENT_TOKEN,
                    # The client sends pubKeyAuth on its own: Kerberos, or a client that waits for the last mechListMIC.
                    Step.SEND_LAST_NEGO: State.EXPECT_CLIENT_KEY,
                    Step.WAIT_FOR_KEY: State.EXPECT_CLIENT_KEY,
                    Step.ASK_AUTHORITY: State.AWAIT_ANSWER,
                },
                State.AWAIT_ANSWER: {Step.ANSWER_GIVEN: State.ANSWER_TOKEN},
                State.ANSWER_TOKEN_WITH_KEY: {
                    Step.MECHANISM_READY: State.VERIFY_CLIENT_KEY,
                    Step.ASK_AUTHORITY: State.AWAIT_ANSWER_WITH_KEY,
                },
                State.AWAIT_ANSWER_WITH_KEY: {Step.ANSWER_GIVEN: State.ANSWER_TOKEN_WITH_KEY},
                State.EXPECT_CLIENT_KEY: {
                    Step.RECV_KEY: State.VERIFY_CLIENT_KEY,
                    Step.RECV_NEGO_AND_KEY: State.ANSWER_TOKEN_WITH_KEY,
                },
                State.VERIFY_CLIENT_KEY: {Step.CLIENT_KEY_VERIFIED: State.SEND_SERVER_KEY},
                State.SEND_SERVER_KEY: {
                    Step.SEND_KEY: State.EXPECT_CREDENTIALS,
                    Step.SEND_NEGO_AND_KEY: State.EXPECT_CREDENTIALS,
                },
                State.EXPECT_CREDENTIALS: {Step.RECV_AUTH_INFO: State.OPEN_CREDENTIALS},
                State.OPEN_CREDENTIALS: {Step.CREDENTIALS_OPENED: State.COMPLETE},
            },
            frozenset({State.EXPECT_CLIENT_TOKEN, State.EXPECT_CLIENT_KEY, State.EXPECT_CREDENTIALS}),
        ),
    }
)


def next_state(role: Role, state: State, step: Step) -> State | None:
    """Return where a step leads, or None where it is not legal."""
    return TRANSITIONS[role][state].get(step)
