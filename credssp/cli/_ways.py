"""The way to a server: proxies, and what load balancers want to see; for ``login`` and ``probe``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from credssp.cli._targets import TargetURL
    from credssp.proxy import Proxy

__all__ = ["Way", "add_arguments"]


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


@dataclass(frozen=True, slots=True)
class Way:
    """How servers are reached.

    Attributes:
        url: what ``--proxy`` says: a proxy, None for none, or False for what the environment says.
        routing_token: what a load balancer looks at in place of the cookie, or None.
        cookie: IDENTIFIER of the cookie; None for the default, empty for none.
    """

    url: Proxy | bool | None = False
    routing_token: bytes | None = None
    cookie: str | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Way:
        """Read the arguments. Raises LocalProtocolError."""
        from credssp.errors import LocalProtocolError
        from credssp.proxy import Proxy

        url: Proxy | bool | None = False
        if arguments.proxy is not None:
            try:
                url = Proxy.parse(arguments.proxy) if arguments.proxy else None
            except LocalProtocolError as error:
                raise LocalProtocolError(f"--proxy: {error.message}") from None
        token = arguments.load_balance_info
        return cls(url, None if token is None else token.encode("utf-8", "surrogateescape"), arguments.cookie)

    def proxy(self, target: TargetURL) -> Proxy | None:
        """Return the proxy on the way to a server. Raises LocalProtocolError: a variable holds no proxy's URL."""
        from credssp.proxy import Proxy, proxy_from_environment

        if self.url is False:
            return proxy_from_environment(target.scheme, target.host)
        return self.url if isinstance(self.url, Proxy) else None

    def options(self, target: TargetURL) -> dict[str, Any]:
        """Return the options of a `ClientConfig`. Raises LocalProtocolError."""
        from credssp.errors import LocalProtocolError
        from credssp.rdp.x224 import ConnectionRequest

        ConnectionRequest(cookie=self.cookie or None, routing_token=self.routing_token).encode()  # which checks both
        if target.scheme != "rdp" and (self.routing_token is not None or self.cookie is not None):
            raise LocalProtocolError("--load-balance-info and --cookie work with rdp:// only")
        return {"proxy": self.proxy(target), "routing_token": self.routing_token, "cookie": self.cookie}
