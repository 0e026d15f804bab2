"""The pages of the manual about Kerberos do what they say."""

from __future__ import annotations

import shutil

import pytest

from tests.docs.pages import DOCS, run
from tests.kerberos.conftest import Lab

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("page", ["kerberos.md", "remote-credential-guard.md"])
def test_examples_run(
    lab: Lab,
    page: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(lab.keytab, folder / "server.keytab")
    shutil.copy(lab.ccache.removeprefix("FILE:"), folder / "alice.ccache")
    monkeypatch.chdir(folder)
    run((DOCS / "how-to" / page).read_text(encoding="utf-8"), page, {"__name__": "example"})
    output = capsys.readouterr().out
    if page == "kerberos.md":
        assert (
            "alice EXAMPLE.TEST kerberos\nServerAuthentication.KERBEROS\nPasswordCredentials(username='bob', " in output
        )
    else:
        assert "1234" not in output
        assert "alice krbtgt/EXAMPLE.TEST 2" in output
