"""How a driver opens `AgentCredentials`: it gives its configuration the agent's half of a login.

The agent is above the drivers, and is named here alone (docs/adr/0021-the-agent.md).
"""

from __future__ import annotations

from dataclasses import replace

from credssp.config import ClientConfig
from credssp.credentials import AgentCredentials

__all__ = ["uses_agent", "with_agent"]


def uses_agent(config: ClientConfig) -> bool:
    """Whether each step of a login waits for an agent, and so has to run in a thread on asyncio."""
    return isinstance(config.credentials, AgentCredentials)


def with_agent(config: ClientConfig) -> ClientConfig:
    """Return a configuration that reaches the agent, where its credentials are those of one."""
    if config.agent is not None or not uses_agent(config):
        return config
    from credssp.lsa.remote import Agent  # nothing of it is needed by other logins

    return replace(config, agent=Agent())
