"""Programs that were written for other SSPI modules, on `credssp.sspi`.

`raw` has the interface of `sspilib.raw`; `win32security`, `sspicon`, `pywintypes` and `sspi` that of pywin32. `install`
registers them under the names that programs import::

    from credssp.sspi import compat

    with compat.install(replace=["sspilib"]):
        import sspilib  # its own classes, on this SSPI

The machine is configured as for every program on `credssp.sspi`, with `credssp.sspi.configure`.
"""

from __future__ import annotations

from credssp.sspi.compat.registration import Installation as Installation
from credssp.sspi.compat.registration import install as install
from credssp.sspi.compat.registration import uninstall as uninstall

__all__ = ["Installation", "install", "uninstall"]
