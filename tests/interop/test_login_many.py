"""``credssp login`` at the shadow servers of FreeRDP 2 and 3, which refuse by a close, and by an errorCode."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from credssp.cli import main
from tests.interop import freerdp

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def urls(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folders = tmp_path_factory.mktemp("shadow2"), tmp_path_factory.mktemp("shadow3")
    with freerdp.shadow(2, display, folders[0]) as two, freerdp.shadow(3, display, folders[1]) as three:
        yield f"rdp://127.0.0.1:{two}", f"rdp://127.0.0.1:{three}"


@pytest.mark.parametrize("first", [0, 1], ids=["freerdp2", "freerdp3"])
def test_a_wrong_password_is_tried_at_one_server_and_the_right_one_at_all(
    first: int, urls: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [urls[first], urls[1 - first]]
    words = ["login", "-u", "LABDOM\\alice", "--mechanism", "ntlm", "--json", *order]
    monkeypatch.setenv("CREDSSP_PASSWORD", "wrong")
    assert main(words) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["target"], line["outcome"]) for line in lines] == [(order[0], "refused"), (order[1], "not_tried")]
    monkeypatch.setenv("CREDSSP_PASSWORD", freerdp.PASSWORD)
    assert main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(line["target"], line["outcome"]) for line in lines} == {(url, "accepted") for url in urls}
