"""The way to a server: proxies, and what load balancers want to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from credssp.errors import LocalProtocolError
from credssp.fleet.target_url import TargetURL
from credssp.proxy import Proxy, proxy_from_environment
from credssp.rdp.x224 import ConnectionRequest

__all__ = ["Way"]


@dataclass(frozen=True, slots=True)
class Way:
    """How servers are reached.

    Attributes:
        url: a proxy, None for none, or False for what the environment says.
        routing_token: what a load balancer looks at in place of the cookie, or None.
        cookie: IDENTIFIER of the cookie; None for the default, empty for none.
    """

    url: Proxy | bool | None = False
    routing_token: bytes | None = field(default=None, repr=False)
    cookie: str | None = None

    def proxy(self, target: TargetURL) -> Proxy | None:
        """Return the proxy on the way to a server. Raises LocalProtocolError: a variable holds no proxy's URL."""
        if self.url is False:
            return proxy_from_environment(target.scheme, target.host)
        return self.url if isinstance(self.url, Proxy) else None

    def options(self, target: TargetURL) -> dict[str, Any]:
        """Return the options of a `ClientConfig`. Raises LocalProtocolError."""
        ConnectionRequest(cookie=self.cookie or None, routing_token=self.routing_token).encode()  # which checks both
        if target.scheme != "rdp" and (self.routing_token is not None or self.cookie is not None):
            raise LocalProtocolError("--load-balance-info and --cookie work with rdp:// only")
        return {"proxy": self.proxy(target), "routing_token": self.routing_token, "cookie": self.cookie}
