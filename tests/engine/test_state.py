"""The transition table: what it allows, walked along every path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from credssp.engine.state import INITIAL, TRANSITIONS, Role, State, Step, next_state


def paths(role: Role) -> Iterator[tuple[tuple[State, Step], ...]]:
    """Every way from the initial state to a final one, through each (state, step) at most twice."""

    def walk(state: State, taken: tuple[tuple[State, Step], ...]) -> Iterator[tuple[tuple[State, Step], ...]]:
        steps = TRANSITIONS[role][state]
        if not steps:
            yield taken
            return
        for step, following in steps.items():
            if taken.count((state, step)) < 2:
                yield from walk(following, (*taken, (state, step)))

    yield from walk(INITIAL[role], ())


def end(role: Role, path: tuple[tuple[State, Step], ...]) -> State:
    state, step = path[-1]
    return TRANSITIONS[role][state][step]


COMPLETE = {
    role: [[step for _, step in path] for path in paths(role) if end(role, path) is State.COMPLETE] for role in Role
}


def test_every_path_ends() -> None:
    for role in Role:
        ends = {end(role, path) for path in paths(role)}
        assert ends == {State.COMPLETE, State.FAILED}
        assert len(COMPLETE[role]) >= 4


def test_a_client_delegates_only_after_the_servers_key_and_the_policy() -> None:
    for steps in COMPLETE[Role.CLIENT]:
        sent = steps.index(Step.SEND_AUTH_INFO)
        verified = steps.index(Step.SERVER_KEY_VERIFIED)
        allowed = steps.index(Step.DELEGATION_ALLOWED)
        assert verified < allowed < sent == len(steps) - 1
        assert steps.count(Step.SEND_AUTH_INFO) == 1


def test_a_client_binds_exactly_once_and_before_it_verifies() -> None:
    for steps in COMPLETE[Role.CLIENT]:
        bound = [i for i, step in enumerate(steps) if step in {Step.SEND_KEY, Step.SEND_NEGO_AND_KEY}]
        assert len(bound) == 1
        assert bound[0] < steps.index(Step.SERVER_KEY_VERIFIED)


def test_a_client_repeats_its_key_at_most_once_on_any_path() -> None:
    repeats = {[step for _, step in path].count(Step.SEND_KEY_AGAIN) for path in paths(Role.CLIENT)}
    assert repeats == {0, 1}


def test_a_client_repeats_its_key_only_after_a_token_and_then_needs_the_servers_key() -> None:
    repeating = [steps for steps in COMPLETE[Role.CLIENT] if Step.SEND_KEY_AGAIN in steps]
    assert repeating
    for steps in repeating:
        again = steps.index(Step.SEND_KEY_AGAIN)
        assert steps[again - 2] in {Step.SEND_KEY, Step.SEND_NEGO_AND_KEY}
        assert steps[again - 1] is Step.RECV_NEGO
        assert steps[again + 1] in {Step.RECV_KEY, Step.RECV_NEGO_AND_KEY}
        assert steps[again + 2 :] == [Step.SERVER_KEY_VERIFIED, Step.DELEGATION_ALLOWED, Step.SEND_AUTH_INFO]


def test_no_failed_path_of_a_client_has_sent_credentials() -> None:
    for path in paths(Role.CLIENT):
        if end(Role.CLIENT, path) is State.FAILED:
            assert Step.SEND_AUTH_INFO not in [step for _, step in path]


def test_a_server_takes_credentials_only_after_the_clients_key() -> None:
    for steps in COMPLETE[Role.SERVER]:
        assert steps.index(Step.CLIENT_KEY_VERIFIED) < steps.index(Step.RECV_AUTH_INFO)
        assert steps.count(Step.RECV_AUTH_INFO) == 1
        assert steps[-1] is Step.CREDENTIALS_OPENED


def test_a_server_answers_with_its_key_before_it_takes_credentials() -> None:
    for steps in COMPLETE[Role.SERVER]:
        answered = [i for i, step in enumerate(steps) if step in {Step.SEND_KEY, Step.SEND_NEGO_AND_KEY}]
        assert len(answered) == 1
        assert steps.index(Step.CLIENT_KEY_VERIFIED) < answered[0] < steps.index(Step.RECV_AUTH_INFO)


def test_every_state_but_the_final_ones_can_fail() -> None:
    for role in Role:
        for state, steps in TRANSITIONS[role].items():
            if state in {State.COMPLETE, State.FAILED}:
                assert not steps
            else:
                assert steps[Step.FAIL] is State.FAILED


def test_an_error_code_is_legal_wherever_a_message_is_awaited() -> None:
    for role in Role:
        for state, steps in TRANSITIONS[role].items():
            receives = any(step.name.startswith("RECV") for step in steps)
            assert receives == state.name.startswith("EXPECT"), state
            assert (Step.RECV_ERROR_CODE in steps) == receives


def test_every_step_is_used_and_every_state_reached() -> None:
    used = {step for role in Role for steps in TRANSITIONS[role].values() for step in steps}
    assert used == set(Step)
    for role in Role:
        reached = {INITIAL[role]} | {to for steps in TRANSITIONS[role].values() for to in steps.values()}
        assert reached == set(TRANSITIONS[role])


@pytest.mark.parametrize("role", Role)
def test_the_table_cannot_be_changed(role: Role) -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[role][State.COMPLETE] = {}  # type: ignore[index]


def test_next_state_of_an_illegal_step_is_none() -> None:
    assert next_state(Role.CLIENT, State.SEND_FIRST_TOKEN, Step.SEND_AUTH_INFO) is None
    assert next_state(Role.SERVER, State.EXPECT_CLIENT_TOKEN, Step.RECV_AUTH_INFO) is None
