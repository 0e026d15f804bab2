"""What a configuration says about policy: who may be given the credentials, and the lowest version to accept."""

from __future__ import annotations

import functools
from typing import Final

from credssp.config import ClientConfig, ServerConfig
from credssp.credentials import AgentCredentials, RemoteGuardCredentials
from credssp.errors import LocalProtocolError
from credssp.policy.decision import PolicyDecision, require_server_authentication
from credssp.policy.delegation import DelegationPolicy
from credssp.policy.encryption_oracle import DEFAULT_ENCRYPTION_ORACLE
from credssp.policy.settings import PolicySettings
from credssp.policy.terms import DelegationMode
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus

__all__ = ["decide", "delegation_mode", "delegation_policy", "lowest_version"]

_only: Final = functools.lru_cache(maxsize=128)(DelegationPolicy.for_target)
_NOBODY: Final = DelegationPolicy.deny_all()


def delegation_policy(config: ClientConfig) -> DelegationPolicy:
    """Return the policy of a client; by default exactly its target may have the credentials.

    Raises:
        LocalProtocolError: `ClientConfig.policy` is something else, or there is neither a target nor
            ``delegate=False``.
    """
    policy, name = config.policy, config.policy_name
    if config.target_name is None and config.delegate:
        raise LocalProtocolError(
            "credentials go to a named server only: give target_name, or delegate=False",
            status=SecurityStatus.SEC_E_DELEGATION_POLICY,
        )
    if policy is None:
        return _NOBODY if name is None else _only(name)
    if isinstance(policy, PolicySettings):
        return policy.delegation
    if not hasattr(policy, "decide"):
        raise LocalProtocolError(f"policy takes a DelegationPolicy or PolicySettings, not a {type(policy).__name__}")
    return policy


def delegation_mode(config: ClientConfig) -> DelegationMode:
    """Return what kind of credentials a client delegates."""
    if not config.delegates:
        return DelegationMode.NO_DELEGATION
    if isinstance(config.credentials, AgentCredentials):
        guarded = config.credentials.mode == "remote-guard"
    else:
        guarded = isinstance(config.delegation, RemoteGuardCredentials)
    return DelegationMode.REMOTE_GUARD if guarded else DelegationMode.PLAIN


def decide(config: ClientConfig, server: ServerAuthentication) -> PolicyDecision:
    """Return whether a server that is authenticated like this is given what the configuration delegates."""
    if config.mutual_auth and not (decision := require_server_authentication(server)):
        return decision
    return delegation_policy(config).decide(
        config.policy_name, source=config.source, server=server, mode=delegation_mode(config)
    )


def lowest_version(config: ClientConfig | ServerConfig) -> int:
    """Return the lowest version to accept from a peer: what is configured, or what the policy's level says.

    Raises:
        LocalProtocolError: it is higher than the version we say we have.
    """
    lowest = config.min_version
    if lowest is not None:
        return lowest  # checked by the configuration
    oracle = config.policy.encryption_oracle if isinstance(config.policy, PolicySettings) else None
    if oracle is None:
        oracle = DEFAULT_ENCRYPTION_ORACLE
    lowest = oracle.client_min_version if isinstance(config, ClientConfig) else oracle.server_min_version
    if lowest > config.max_version:
        raise LocalProtocolError(
            f"max_version {config.max_version} is lower than {lowest}, the lowest version to accept: give min_version "
            "or an encryption-oracle policy that allows it"
        )
    return lowest
