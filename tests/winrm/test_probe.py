"""The probe of WinRM without a socket: against our own server, and against scripted answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from credssp import ServerTLS
from credssp.drivers.winrm import HTTPReply
from credssp.errors import CredSSPError, LimitExceededError, RemoteProtocolError
from credssp.winrm import format_token
from credssp.winrm.probe import ProbePost, WinRMReport, probe
from tests.winrm.memory import connection, leg

Peer = Callable[[ProbePost], HTTPReply]


def reply(status: int, *challenges: str) -> HTTPReply:
    return HTTPReply(status, challenges, "", "Microsoft-HTTPAPI/2.0", b"")


def our_server(**options: Any) -> Peer:
    server = connection(**options)

    def answer(post: ProbePost) -> HTTPReply:
        if post.authorization is None:
            return reply(401, "Negotiate", "CredSSP")
        try:
            return reply(401, format_token(leg(server, post.authorization).token))
        except CredSSPError as error:
            return reply(401, format_token(error.token))

    return answer


def run(connect: Callable[[], Peer]) -> tuple[WinRMReport, list[ProbePost]]:
    report = WinRMReport("srv", 5985)
    steps = probe(report)
    posts: list[ProbePost] = []
    try:
        post = next(steps)
        while True:
            posts.append(post)
            if post.fresh:
                peer = connect()
            post = steps.send(peer(post))
    except StopIteration:
        return report, posts


def test_everything_is_found_out() -> None:
    report, posts = run(our_server)
    assert report.protocols == {"Negotiate": "accepted", "CredSSP": "accepted"}
    assert report.server == "Microsoft-HTTPAPI/2.0"
    assert list(report.tls) == ["TLSv1.2", "TLSv1.3"]
    assert report.certificate is not None
    assert report.credssp_version == 6
    assert {"ntlm", "spnego/ntlm"} <= set(report.mechanisms)
    assert report.ntlm["TargetName"]
    assert sum(post.fresh for post in posts) == 1 + 2 + 1 + 2


def test_a_tls_version_that_is_refused_is_left_out() -> None:
    report, _ = run(lambda: our_server(tls=ServerTLS(minimum="1.3")))
    assert list(report.tls) == ["TLSv1.3"]
    assert report.tls_error is None


def test_a_server_without_tls_inside_is_quoted() -> None:
    answers = iter([reply(401, "CredSSP")])
    report, _ = run(lambda: lambda _: next(answers, reply(401)))
    assert report.tls == {}
    assert report.tls_error == "the server answered HTTP 401 where a leg was due"


def test_a_server_without_credssp_is_asked_once() -> None:
    report, posts = run(lambda: lambda _: reply(401, "Negotiate"))
    assert report.protocols == {"Negotiate": "accepted", "CredSSP": "not offered"}
    assert len(posts) == 1


def test_an_endless_handshake_ends() -> None:
    offered = reply(401, "CredSSP")
    with pytest.raises(LimitExceededError, match="more than 8 legs"):
        run(lambda: lambda _: offered)


def test_an_answer_without_a_leg_is_noted_for_the_mechanism_and_the_next_is_asked() -> None:
    def connect() -> Peer:
        peer, posts = our_server(), itertools.count(1)
        return lambda post: reply(200) if next(posts) > 2 else peer(post)

    report, posts = run(connect)
    assert report.mechanisms == []
    assert report.credssp_error == "ntlm: the server answered HTTP 200 where a leg was due"
    assert sum(post.fresh for post in posts) == 1 + 2 + 3 + 2  # each is asked again


def test_errors_of_the_connection_are_errors_of_the_probe() -> None:
    steps = probe(WinRMReport("srv", 5985))
    next(steps)
    with pytest.raises(RemoteProtocolError, match="not HTTP"):
        steps.throw(RemoteProtocolError("not HTTP"))
