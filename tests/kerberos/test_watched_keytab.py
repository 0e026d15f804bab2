"""A keytab that is read again after it changed."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

import pytest

from credssp import CCacheCredentials, ClientContext, ServerContext
from credssp.errors import AuthenticationError, LocalProtocolError
from credssp.kerberos.watched_keytab import watch_keytab
from credssp.status import SecurityStatus
from tests.kerberos.conftest import Lab
from tests.kerberos.exchange import TARGET, log_on

pytestmark = pytest.mark.interop


def logs_on(lab: Lab, keytab: object) -> bool:
    client = ClientContext(CCacheCredentials(lab.ccache), target_name=TARGET, mechanism="kerberos")
    outcome = log_on(client, ServerContext(keytab=keytab))  # type: ignore[arg-type]
    return outcome.client_error is None and outcome.server_error is None


def test_the_last_good_keys_stay_until_there_are_others(
    lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "server.keytab"
    shutil.copyfile(lab.keytab, path)
    keytab = watch_keytab(path)
    assert logs_on(lab, keytab)
    for bad in (b"", b"noise", b"\x05\x02", lab.keytab.read_bytes()[:9]):
        path.write_bytes(bad)
        with caplog.at_level(logging.ERROR, "credssp.files"):
            assert not keytab.reload()
        assert logs_on(lab, keytab)
    path.unlink()
    assert not keytab.reload()
    assert logs_on(lab, keytab)
    assert f"keytab {path}" in caplog.text
    shutil.copyfile(lab.keytab, path)
    assert keytab.reload()
    assert logs_on(lab, keytab)


def test_new_keys_are_used_and_old_ones_are_not(lab: Lab, tmp_path: Path) -> None:
    lab.realm.add("TERMSRV/other.example.test")
    other = lab.realm.keytab(str(tmp_path / "other.keytab"), "TERMSRV/other.example.test")
    path = tmp_path / "server.keytab"
    shutil.copyfile(other, path)
    keytab = watch_keytab(path)
    assert not logs_on(lab, keytab)
    shutil.copyfile(lab.keytab, path)
    assert keytab.reload()
    assert logs_on(lab, keytab)
    shutil.copyfile(other, path)
    assert keytab.reload()
    assert not logs_on(lab, keytab)


def test_what_is_no_keytab_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match="/no/such/file cannot be read"):
        watch_keytab("/no/such/file")
    noise = tmp_path / "noise"
    noise.write_bytes(b"noise")
    with pytest.raises(AuthenticationError) as refused:
        watch_keytab(noise)
    assert refused.value.status == SecurityStatus.SEC_E_NO_KERB_KEY


def test_a_keytab_that_everybody_can_write_is_refused(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "server.keytab"
    shutil.copyfile(lab.keytab, path)
    path.chmod(0o666)
    with pytest.raises(AuthenticationError, match="can be written by every user"):
        watch_keytab(path)


def test_keys_change_while_threads_log_on(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "server.keytab"
    shutil.copyfile(lab.keytab, path)
    keytab = watch_keytab(path)
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.extend(logs_on(lab, keytab) for _ in range(5))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    number = 0
    while any(thread.is_alive() for thread in threads):
        number += 1
        path.write_bytes(lab.keytab.read_bytes() + bytes(4 * (number % 3)))
        keytab.reload()
    for thread in threads:
        thread.join()
    assert results == [True] * 20
