"""Files that Ansible copies to the WinRM double: its scripts that make a folder, take a file, and remove the folder.

They come between two calls of the module ``win_copy``. Nothing is written: the folder is a name, and of a file its
checksum is told, which is what Ansible looks at. ansible-core up to 2.18 sends each of them as a script of its own,
2.19 as an action of its wrapper.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import Any, Final

from credssp.testing.ansible import SEPARATOR

__all__ = ["file_output", "takes_file"]

_MAKES: Final = re.compile(r"New-Item -Type Directory -Path \$tmp_path -Name '(ansible-tmp-[\w.-]+)'")
_TAKES: Final = ("[System.IO.File]::Create(", "SHA1CryptoServiceProvider", "FromBase64String(")
_REMOVES: Final = re.compile(r"^\s*Remove-Item '[^']*ansible-tmp-[^']*' -Force -Recurse;", re.MULTILINE)
_MAKING_ACTION: Final = "powershell_mkdtemp.ps1"
_TAKING_ACTIONS: Final = ("winrm_put_file.ps1", "psrp_put_file.ps1")
_FOLDER: Final = "C:\\Windows\\Temp\\"


def takes_file(script: str) -> bool:
    """Return whether a script takes a file from standard input."""
    return all(part in script for part in _TAKES)


def file_output(script: str, stdin: str) -> str | None:
    """Return what one of these scripts prints; None if it is another one.

    Args:
        script: the script.
        stdin: its standard input, to the end.
    """
    found = _MAKES.search(script)
    if found is not None:
        return f"{_FOLDER}{found[1]}\r\n"
    if _REMOVES.search(script):
        return ""
    if takes_file(script):
        return _checksum(stdin)
    _, _, rest = stdin.partition(SEPARATOR)
    manifest, _, data = rest.partition(SEPARATOR)
    for action in _actions(manifest):
        if action.get("name") in _TAKING_ACTIONS:
            return _checksum(data)
        if action.get("name") == _MAKING_ACTION and isinstance(params := action.get("params"), dict):
            return f"{_FOLDER}{params.get('Name', '')}\r\n"
    return None


def _actions(manifest: str) -> list[dict[str, Any]]:
    if '"actions"' not in manifest:
        return []
    try:
        found = json.loads(manifest)
    except (ValueError, RecursionError):
        return []
    actions = found.get("actions") if isinstance(found, dict) else None
    return [each for each in actions if isinstance(each, dict)] if isinstance(actions, list) else []


def _checksum(lines: str) -> str | None:
    """Return the answer to a file, of which every line is a piece in base64."""
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        for line in lines.split():
            digest.update(base64.b64decode(line, validate=True))
    except (binascii.Error, ValueError):
        return None
    return json.dumps({"sha1": digest.hexdigest()})
