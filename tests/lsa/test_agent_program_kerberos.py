"""Logins through the agent with keys, tickets and smart cards that the program does not have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

import credssp
from credssp import rdp
from credssp.cli import main
from credssp.credentials import AgentCredentials, PasswordCredentials, RemoteGuardCredentials, SmartCardCredentials
from credssp.lsa.opened import AgentRefusedError, Reason
from credssp.testing import RDPServer
from tests.kdc import REALM, Realm
from tests.lsa.programs import AgentProgram, agent_program
from tests.peers import require_module
from tests.pki import PIN, Authority, SoftCard

pytestmark = pytest.mark.interop

PASSWORD = "Made-up for these tests 1"
USER = f"alice@{REALM}"
TARGET = ("--target", "TERMSRV/localhost")


@dataclass(frozen=True)
class Lab:
    """A realm whose KDC takes passwords and certificates, an agent that lives in it, and an RDP server."""

    realm: Realm
    authority: Authority
    card: SoftCard
    agent: AgentProgram
    server: RDPServer
    keytab: Path
    ccache: str

    def log_on(
        self, name: str, *, mode: Literal["", "remote-guard"] = "", **options: Any
    ) -> tuple[object, dict[str, Any]]:
        """Log on, and return what was delegated and the event."""
        before = len(self.server.delegations)
        done = len([event for event in self.agent.seen() if event["event"] == "agent-login"])
        credentials = AgentCredentials(name, str(self.agent.path), mode=mode)
        rdp.connect("localhost", self.server.port, credentials=credentials, **options).close()
        assert self.server.wait(delegations=before + 1)
        return self.server.delegations[-1].credentials, self.agent.last(count=done + 1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_module("gssapi", extra="kerberos")
    require_module("krb5", extra="kerberos")
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.kdc(REALM, "localhost")
    authority.user("alice", REALM)
    card = SoftCard(tmp_path_factory.mktemp("card"), authority, "alice")
    with Realm(tmp_path_factory.mktemp("realm"), pki=authority.folder) as realm:
        realm.add("alice", "+requires_preauth", password=PASSWORD)
        realm.add("TERMSRV/localhost")
        realm.add("host/localhost")
        server_keys = realm.keytab("server.keytab", "TERMSRV/localhost", "host/localhost")
        ccache = realm.kinit("alice", PASSWORD)
        folder = tmp_path_factory.mktemp("agent")
        with (
            pytest.MonkeyPatch.context() as environment,
            agent_program(folder / "s", environ=realm.environment | card.environment) as agent,
        ):
            for name, value in realm.environment.items():  # for the server
                environment.setenv(name, value)
            # The program has nothing to lean on: no cache, no card.
            environment.setenv("KRB5CCNAME", f"FILE:{folder}/none")
            environment.delenv("SOFTHSM2_CONF", raising=False)
            with RDPServer(keytab=str(server_keys), hold=0.01, remote_guard=True) as server:
                yield Lab(realm, authority, card, agent, server, folder / "alice.keytab", ccache)


def test_with_a_password_which_is_delegated(lab: Lab) -> None:
    lab.agent.add("password", "-u", USER, *TARGET, secret=PASSWORD)
    delegated, event = lab.log_on("password")
    assert delegated == PasswordCredentials(USER, PASSWORD)
    assert (event["mechanism"], event["user"], event["outcome"]) == ("kerberos", USER, "success")
    assert event["delegated"] is True


def test_with_tickets_that_the_program_does_not_have(lab: Lab) -> None:
    lab.agent.add("tickets", "--ccache", lab.ccache, *TARGET)
    delegated, event = lab.log_on("tickets")
    assert delegated == PasswordCredentials.empty()
    assert (event["mechanism"], event["outcome"], event["delegated"]) == ("kerberos", "success", False)


def test_with_tickets_that_are_forwarded_by_remote_credential_guard(lab: Lab) -> None:
    lab.agent.add("guarded", "--ccache", lab.ccache, *TARGET, "--delegate", "remote-guard")
    delegated, event = lab.log_on("guarded", mode="remote-guard")
    assert isinstance(delegated, RemoteGuardCredentials)
    assert (event["mechanism"], event["outcome"], event["delegated"]) == ("kerberos", "success", True)
    url = f"rdp://localhost:{lab.server.port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREDSSP_AGENT_SOCK", str(lab.agent.path))
        assert main(["login", url, "--agent", "guarded", "--remote-guard"]) == 0


def test_with_a_smart_card_whose_pin_is_delegated(lab: Lab) -> None:
    card = ("--pkinit", lab.card.identity, "--pkinit-anchors", lab.authority.anchors)
    pin = lab.keytab.with_name("pin")
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o600)
    lab.agent.add("card", "-u", USER, *TARGET, *card, "--smartcard-pin", f"file:{pin}")
    delegated, event = lab.log_on("card")
    assert isinstance(delegated, SmartCardCredentials)
    assert (delegated.card_name, delegated.pin.reveal()) == ("alice-card", PIN)
    assert (event["mechanism"], event["outcome"], event["delegated"]) == ("kerberos", "success", True)
    lab.agent.add("kept-card", "-u", USER, *TARGET, *card, "--smartcard-pin", f"file:{pin}", "--delegate", "nothing")
    delegated, event = lab.log_on("kept-card")
    assert delegated == PasswordCredentials.empty()
    assert event["delegated"] is False


def test_kerberos_credentials_answer_no_ntlm_and_reach_no_other_target(lab: Lab) -> None:
    lab.agent.add("tickets-only", "--ccache", lab.ccache, *TARGET)
    with pytest.raises(AgentRefusedError) as caught:
        lab.log_on("tickets-only", mechanism="ntlm")
    assert caught.value.reason is Reason.MECHANISM
    with pytest.raises(AgentRefusedError) as caught:
        lab.log_on("tickets-only", target_name="HTTP/localhost")
    assert caught.value.reason is Reason.TARGET


def test_tickets_that_are_not_there_yet_are_missed_at_the_login(lab: Lab) -> None:
    cache = f"FILE:{lab.realm.folder}/later"
    lab.agent.add("later", "--ccache", cache, *TARGET)
    with pytest.raises(credssp.AuthenticationError) as caught:
        lab.log_on("later")
    assert not caught.value.refused, "no server was asked"
    assert lab.realm.kinit("alice", PASSWORD, name="later") == cache
    delegated, _ = lab.log_on("later")
    assert delegated == PasswordCredentials.empty()


def test_with_a_key_from_the_configuration(lab: Lab) -> None:
    made = lab.realm.keytab("alice.keytab", "alice")
    made.replace(lab.keytab)
    config = lab.keytab.with_name("agent.toml")
    config.write_text(
        f'[[credential]]\nname = "robot"\nuser = "{USER}"\nsource = {{ keytab = "alice.keytab" }}\n'
        'targets = ["TERMSRV/*"]\n'
    )
    config.chmod(0o600)
    place = lab.keytab.with_name("s2")
    with agent_program(place, "--config", str(config), environ=lab.realm.environment) as agent:
        rdp.connect("localhost", lab.server.port, credentials=agent.credentials("robot")).close()
        event = agent.last()
        assert (event["mechanism"], event["user"], event["outcome"]) == ("kerberos", USER, "success")
        (info,) = json.loads(agent.call("list", "--json"))
        assert (info["source"], info["place"], info["origin"]) == ("keytab", str(lab.keytab), "file")
