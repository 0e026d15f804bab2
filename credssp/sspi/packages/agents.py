"""Credentials of an agent in SSPI: pszPrincipal names one, and there is no pAuthData.

On Windows the LSA has the credentials, and this is how a program reaches one. Which agent it is, `ClientConfig.agent`
of `credssp.sspi.configure` says, or else the variable CREDSSP_AGENT_SOCK.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from credssp.channel_bindings import ChannelBindings
from credssp.config import ClientConfig
from credssp.credentials import AgentCredentials
from credssp.policy import CredentialSource
from credssp.sspi.errors import bad_token
from credssp.sspi.packages.identities import Logon

if TYPE_CHECKING:
    from credssp.engine.driven import OpenEngine
    from credssp.sspi.support import Machine

__all__ = ["agent_of", "application_data_of", "logon_of_agent", "with_agent"]


def agent_of(machine: Machine) -> OpenEngine | None:
    """Return what reaches the agent; None where no agent is configured."""
    if machine.client.agent is not None:
        return machine.client.agent
    if not os.environ.get("CREDSSP_AGENT_SOCK"):
        return None
    from credssp.lsa.remote import Agent  # for programs that have an agent alone

    return Agent()


def logon_of_agent(machine: Machine, principal: str | None) -> Logon | None:
    """Return the logon that a principal names in the agent; None where there is no agent, or no principal."""
    if not principal or agent_of(machine) is None:
        return None
    return Logon(credentials=AgentCredentials(principal), source=CredentialSource.FRESH)


def with_agent(machine: Machine, logon: Logon) -> ClientConfig:
    """Return the options of the machine's clients; for a logon of an agent, with what reaches it."""
    if not isinstance(logon.credentials, AgentCredentials):
        return machine.client
    return replace(machine.client, credentials=logon.credentials, agent=agent_of(machine))


def application_data_of(bindings: ChannelBindings) -> bytes:
    """Return channel bindings as options take them.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, there are addresses among them.
    """
    if ChannelBindings(bindings.application_data) != bindings:
        raise bad_token("pInput", "CREDSSP takes channel bindings without addresses, as Schannel makes them")
    return bindings.application_data
