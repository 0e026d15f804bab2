"""Smart cards in software, with certificates of an `Authority`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from credssp.testing.domain.certificates import Authority
from tests.peers import missing, require_program

__all__ = ["PIN", "SOFTHSM", "Authority", "SoftCard"]

PIN = "1234"
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


class SoftCard:
    """A token of SoftHSM with one key and certificate; `environment` names its configuration.

    Args:
        folder: where it is kept; must be there.
        authority: who issued the certificate.
        name: whose it is; the token's label is ``NAME-card``.
        pin: its PIN.
    """

    def __init__(self, folder: Path, authority: Authority, name: str, *, pin: str = PIN) -> None:
        if not Path(SOFTHSM).exists():
            missing(f"{SOFTHSM} is not installed (.ci/run lists the packages)")
        softhsm, pkcs11 = require_program("softhsm2-util"), require_program("pkcs11-tool")
        tokens = folder / "tokens"
        tokens.mkdir(exist_ok=True)
        configuration = folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.environment = {"SOFTHSM2_CONF": str(configuration)}
        self.label = f"{name}-card"
        self.identity = f"PKCS11:module_name={SOFTHSM}:token={self.label}"
        key, certificate = str(authority.folder / f"{name}.key"), str(authority.folder / f"{name}.der")
        object_id, token = ("--id", "01", "--label", name), self.label
        self._run(softhsm, "--init-token", "--free", "--label", token, "--pin", pin, "--so-pin", "12345678")
        self._run(softhsm, "--import", key, "--token", token, *object_id, "--pin", pin)
        self._run(
            *(pkcs11, "--module", SOFTHSM, "--login", "--pin", pin, "--token-label", token),
            *("--write-object", certificate, "--type", "cert", *object_id),
        )

    def _run(self, *command: str) -> None:
        environment = os.environ | self.environment
        subprocess.run(command, env=environment, capture_output=True, timeout=30, check=True)
