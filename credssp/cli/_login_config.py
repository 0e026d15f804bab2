"""How ``credssp login`` logs on: the arguments as a configuration, secrets read once."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from credssp.cli import _fleet_arguments, _login_credentials, _ways
from credssp.config import ClientConfig, Timeouts
from credssp.engine.events import Observer
from credssp.errors import LocalProtocolError
from credssp.fleet.target_url import TargetURL
from credssp.fleet.way import Way
from credssp.tls.settings import ClientTLS

__all__ = ["LoginPlan", "LoginWay"]

_READ_ONCE = ("password_file", "hash_file", "delegate_password_file")


@dataclass(frozen=True, slots=True)
class LoginWay:
    """What can be said about the targets before any secret is read.

    Attributes:
        arguments: of the command line.
        way: how servers are reached.
    """

    arguments: argparse.Namespace
    way: Way

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> LoginWay:
        """Read the arguments. Raises LocalProtocolError."""
        if arguments.file == "-":
            for name in _READ_ONCE:
                if getattr(arguments, name) == "-":
                    raise LocalProtocolError(
                        f"--file - and --{name.replace('_', '-')} - cannot be combined: standard input is one of them"
                    )
        _fleet_arguments.check_rate(arguments.rate)
        return cls(arguments, _ways.way_of(arguments))

    def check(self, target: TargetURL) -> None:
        """Refuse arguments that do not suit a target. Raises LocalProtocolError."""
        self.way.options(target)
        for option in ("restricted_admin", "remote_guard"):
            if getattr(self.arguments, option) and target.scheme != "rdp":
                also = "; --no-delegate delegates an empty set" if option == "restricted_admin" else ""
                raise LocalProtocolError(f"--{option.replace('_', '-')} works with rdp:// only{also}: {target}")


@dataclass(frozen=True, slots=True)
class LoginPlan:
    """The same for all targets, and what differs.

    Attributes:
        way: how servers are reached.
        config: who logs on and how.
    """

    way: LoginWay
    config: ClientConfig

    @classmethod
    def of(cls, way: LoginWay, observer: Observer | None = None) -> LoginPlan:
        """Read the secrets. Raises LocalProtocolError."""
        arguments = way.arguments
        credentials = _login_credentials.logon(arguments)
        _login_credentials.check_files(arguments)
        delegated = _login_credentials.delegated(arguments, None, credentials)
        config = ClientConfig(
            credentials=credentials,
            delegated_credentials=delegated,
            mechanism="kerberos" if arguments.remote_guard else arguments.mechanism,
            allow_ntlm_downgrade=arguments.allow_ntlm_downgrade,
            allow_empty_password=arguments.empty_password,
            delegate=not arguments.no_delegate,
            restricted_admin=arguments.restricted_admin,
            bind_https=not arguments.no_channel_bindings,
            min_version=arguments.min_version,
            tls=ClientTLS(cafile=arguments.cacert, fingerprint=arguments.fingerprint, legacy=arguments.legacy_tls),
            timeouts=Timeouts(connect=arguments.timeout, leg=arguments.timeout, login=arguments.timeout),
            observer=observer,
        )
        return cls(way, config)

    def adapt(self, config: ClientConfig, target: TargetURL) -> ClientConfig:
        """Return the configuration for a target; asks a KDC for Remote Credential Guard. Raises CredSSPError."""
        arguments = self.way.arguments
        if arguments.remote_guard:
            delegated = _login_credentials.delegated(arguments, target, config.credentials)
            config = replace(config, delegated_credentials=delegated)
        options = self.way.way.options(target)
        if options["cookie"] is None and options["routing_token"] is None:
            del options["cookie"]  # the user's name is in the one that is there
        return replace(config, **options)
