"""The way to a server: proxies, and what load balancers want to see; for ``login`` and ``probe``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from credssp.fleet.way import Way
    from credssp.proxy import Proxy

__all__ = ["add_arguments", "way_of"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    way = parser.add_argument_group("on the way")
    way.add_argument(
        "--proxy",
        metavar="URL",
        help="connect through http://, socks5:// or socks5h://[USER:PASSWORD@]HOST:PORT; '' for none (default: "
        "rdp_proxy, http_proxy, https_proxy or all_proxy, unless no_proxy lists the host)",
    )
    way.add_argument(
        "--load-balance-info",
        metavar="TEXT",
        help="RDP: routing token for a load balancer or connection broker (loadbalanceinfo of an .rdp file)",
    )
    way.add_argument("--cookie", metavar="NAME", help="RDP: name in the mstshash cookie; '' for none")


def way_of(arguments: argparse.Namespace) -> Way:
    """Read the arguments. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError
    from credssp.fleet.way import Way
    from credssp.proxy import Proxy

    url: Proxy | bool | None = False
    if arguments.proxy is not None:
        try:
            url = Proxy.parse(arguments.proxy) if arguments.proxy else None
        except LocalProtocolError as error:
            raise LocalProtocolError(f"--proxy: {error.message}") from None
    token = arguments.load_balance_info
    return Way(url, None if token is None else token.encode("utf-8", "surrogateescape"), arguments.cookie)
