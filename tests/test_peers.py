"""`tests.peers` skips or fails, and never goes on without the peer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from _pytest.outcomes import Failed, Skipped

import tests.peers
from tests.peers import require, require_module, require_npm_package, require_program


def test_what_is_there_is_returned() -> None:
    assert require_module("json") is json
    assert require("json") is json
    assert Path(require_program(Path(sys.executable).name)).exists()
    assert require("sh") == require_program("sh")


@pytest.mark.parametrize("look", [require, require_module, require_program])
def test_missing_peer_skips(look: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDSSP_REQUIRE_PEERS", raising=False)
    with pytest.raises(Skipped, match="no_such_peer"):
        look("no_such_peer")  # type: ignore[operator]


@pytest.mark.parametrize("look", [require, require_module, require_program])
def test_missing_peer_fails_where_peers_are_required(look: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_REQUIRE_PEERS", "1")
    with pytest.raises(Failed, match="no_such_peer"):
        look("no_such_peer")  # type: ignore[operator]


@pytest.mark.parametrize(("required", "outcome"), [("", Skipped), ("1", Failed)])
@pytest.mark.parametrize("installed", [None, "1.0.0"])
def test_an_npm_package_that_is_missing_or_has_another_version_skips_or_fails(
    installed: str | None, required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDSSP_REQUIRE_PEERS", required)
    monkeypatch.setenv("CREDSSP_PEERS", str(tmp_path))
    if installed is not None:
        install(tmp_path, installed)
    with pytest.raises(outcome, match=f"peer 1.1.0 is not installed, {installed or 'none'} is"):
        require_npm_package("peer", "1.1.0")


@pytest.mark.parametrize("variable", ["CREDSSP_PEERS", "XDG_CACHE_HOME", "HOME"])
def test_an_npm_package_is_found_in_the_cache(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CREDSSP_PEERS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    below = {"CREDSSP_PEERS": "", "XDG_CACHE_HOME": "credssp-peers", "HOME": ".cache/credssp-peers"}[variable]
    folder = install(tmp_path / below, "1.1.0")
    assert require_npm_package("peer", "1.1.0") == folder


def install(peers: Path, version: str) -> Path:
    folder = peers / "node_modules" / "peer"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))
    return folder


@pytest.mark.parametrize(("release", "outcome"), [("12", Failed), ("13", Skipped)])
def test_a_program_without_package_in_this_debian_is_never_required(
    release: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDSSP_REQUIRE_PEERS", "1")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "os-release").write_text(f'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="{release}"\n')
    monkeypatch.setattr(tests.peers, "OS_RELEASE", tmp_path / "os-release")
    with pytest.raises(outcome, match="freerdp-shadow-cli"):
        require_program("freerdp-shadow-cli")
