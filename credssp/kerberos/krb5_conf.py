"""As much of krb5.conf as is looked at here: [libdefaults], [domain_realm], the KDCs of each realm (krb5.conf(5)).

It is read again only after a file changed: every login asks for it.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["Krb5Conf", "load"]

_MAX_SIZE: Final = 1 << 20
_MAX_DEPTH: Final = 5
_DEFAULT: Final = "/etc/krb5.conf"
_TRUE: Final = ("y", "yes", "true", "t", "1", "on")
# A file that changed this short a time before it was read may change once more within the same tick of its file
# system's clock (2 s on FAT): what was read from it is not relied on.
_SETTLED: Final = 2_000_000_000

_Stamp: TypeAlias = tuple[int, int, int] | None
"""mtime in ns, size and inode of a file or folder, or None where it is not there."""


@dataclass(slots=True)
class Krb5Conf:
    """What was read. Shared by all who ask for it: not to be changed.

    Attributes:
        files: files that were read.
        missing: files that were named and could not be read.
        libdefaults: the settings of [libdefaults], as text; the first one of a name counts.
        kdcs: by realm, its KDCs as ``host`` or ``host:port``.
        realms: the realms of [realms], and the default one.
        domain_realm: the realms of hosts and of domains, which begin with a dot.
    """

    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    libdefaults: dict[str, str] = field(default_factory=dict)
    kdcs: dict[str, list[str]] = field(default_factory=dict)
    realms: set[str] = field(default_factory=set)
    domain_realm: dict[str, str] = field(default_factory=dict)
    _stamps: dict[Path, _Stamp] = field(default_factory=dict, repr=False, compare=False)
    _read_at: int = field(default_factory=time.time_ns, repr=False, compare=False)

    def is_current(self) -> bool:
        """Whether no file and no folder that was looked at has changed since."""
        return all(
            stamp == _stamp_of(path) and (stamp is None or stamp[0] + _SETTLED < self._read_at)
            for path, stamp in self._stamps.items()
        )

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a setting that is yes or no."""
        value = self.libdefaults.get(name)
        return default if value is None else value.lower() in _TRUE

    def realm_of(self, host: str) -> str:
        """Return the realm of a host by [domain_realm], or nothing: then the KDC of the client's realm is asked.

        DNS is not asked (``dns_lookup_realm``): as libkrb5 does where that is off, which it is by default.
        """
        part = host
        while part:
            if realm := self.domain_realm.get(part):
                return realm
            # srv.lab.test, .lab.test, lab.test, .test, test
            dot = part.find(".", 1)
            part = part[1:] if part.startswith(".") else part[dot:] if dot > 0 else ""
        return ""


_last: dict[str, Krb5Conf] = {}


def load() -> Krb5Conf:
    """Return what the files say that ``KRB5_CONFIG`` names, or /etc/krb5.conf; what they include comes with them."""
    names = os.environ.get("KRB5_CONFIG", _DEFAULT)
    known = _last.get(names)
    if known is not None and known.is_current():
        return known
    conf = Krb5Conf()
    for name in names.split(os.pathsep):
        _read(conf, Path(name), 0)
    if "default_realm" in conf.libdefaults:
        conf.realms.add(conf.libdefaults["default_realm"])
    _last.clear()
    _last[names] = conf
    return conf


def _stamp_of(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(conf: Krb5Conf, path: Path, depth: int) -> None:
    conf._stamps.setdefault(path, _stamp_of(path))  # before it is read, so that a change meanwhile is noticed
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_SIZE).decode("utf-8", "replace")
    except OSError:
        conf.missing.append(str(path))
        return
    conf.files.append(str(path))
    section = realm = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if heading := re.match(r"\[([^\]]+)\]", line):
            section, realm = heading[1].strip(), ""
        elif line == "}":
            realm = ""
        elif include := re.fullmatch(r"include(dir)?\s+(\S.*)", line):
            _include(conf, Path(include[2]), depth, folder=include[1] is not None)
        elif setting := re.match(r"([^=\s]+)\s*=\s*(.*)", line):
            name, value = setting[1].rstrip("*"), setting[2].strip().strip('"')
            if section == "libdefaults":
                conf.libdefaults.setdefault(name, value)
            elif section == "domain_realm":
                conf.domain_realm.setdefault(name, value)
            elif section == "realms" and value.startswith("{"):
                realm = name
                conf.realms.add(realm)
            elif section == "realms" and realm and name == "kdc":
                conf.kdcs.setdefault(realm, []).append(value)


def _include(conf: Krb5Conf, path: Path, depth: int, *, folder: bool) -> None:
    if depth == _MAX_DEPTH:
        return
    if not folder:
        _read(conf, path, depth + 1)
        return
    conf._stamps.setdefault(path, _stamp_of(path))
    try:
        entries = sorted(path.iterdir())
    except OSError:
        return  # a distribution may name a folder that nobody filled
    for entry in entries:
        if re.fullmatch(r"[A-Za-z0-9_-]+|[^.].*\.conf", entry.name):
            _read(conf, entry, depth + 1)
