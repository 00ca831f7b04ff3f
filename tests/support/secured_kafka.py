"""A real broker that speaks TLS only, knows its users by SCRAM-SHA-512, and asks an authorizer about everything."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from consumer.embedded.component import NotReadyError
from consumer.embedded.kafka import Kafka
from consumer.embedded.ports import LOOPBACK, free_ports
from consumer.embedded.toolchain import Toolchain
from consumer.settings.cache import cache_directory
from tests.support.certificates import Authority, Certificate
from tests.support.waiting import wait_until

ADMIN = "admin"
SCRIPT = Path(__file__).resolve().parents[2] / "ops" / "security" / "kafka" / "acls.sh"
_PLAIN = "listeners=PLAINTEXT://"
_SECURITY = """\
listener.security.protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
required username="{admin}" password="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={bundle}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# The controller's listener is the broker's own, and knows no users here.
super.users=User:{admin};User:ANONYMOUS
"""


class SecuredKafka(Kafka):
    """The embedded stack's broker with other listeners: SASL_SSL for users with passwords, SSL for certificates."""

    def __init__(
        self, home: Path, authority: Authority, certificate: Certificate, passwords: Mapping[str, str]
    ) -> None:
        self._authority = authority
        self._certificate = certificate
        self.passwords = passwords
        port, controller_port, self.certificates_port = free_ports(3)
        super().__init__(
            home,
            home / "kafka.log",
            port=port,
            controller_port=controller_port,
            toolchain=Toolchain(cache_directory(), home / "jars.log"),
        )

    @property
    def servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def options(self, user: str) -> dict[str, str]:
        """What a client of this user needs, its password aside."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "ssl.ca.location": str(self._authority.certificate),
        }

    def admin(self) -> AdminClient:
        password = {"sasl.password": self.passwords[ADMIN]}
        return AdminClient({"bootstrap.servers": self.servers, **self.options(ADMIN), **password, "log_level": 0})

    def properties(self) -> str:
        plain = super().properties()
        start = plain.index(_PLAIN)
        rest = [line for line in plain[start:].splitlines() if "PLAINTEXT" not in line]
        ours = ("SASL_SSL", self.port), ("SSL", self.certificates_port)
        listeners = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ours)
        return "\n".join(
            [
                plain[:start] + f"listeners={listeners},CONTROLLER://{LOOPBACK}:{self.controller_port}",
                f"advertised.listeners={listeners}",
                "inter.broker.listener.name=SASL_SSL",
                *rest,
                _SECURITY.format(
                    admin=ADMIN,
                    password=self.passwords[ADMIN],
                    bundle=self._certificate.bundle,
                    authority=self._authority.certificate,
                ),
            ]
        )

    def format_arguments(self) -> tuple[str, ...]:
        return tuple(
            word
            for user, password in self.passwords.items()
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]")
        )

    def probe(self) -> None:
        """Ask for the cluster's id as a user that is known by SCRAM."""
        try:
            self.admin().list_topics(timeout=2.0)
        except KafkaException as error:
            raise NotReadyError(str(error)) from error

    def apply(self, names: Mapping[str, str]) -> list[AclBinding]:
        """Give the rights of the users' file, with ``names`` for its variables, and return them."""
        found = list(acls_of(SCRIPT.read_text(encoding="utf-8"), names))
        admin = self.admin()  # kept until it has answered: its end would be the request's
        for future in admin.create_acls(found).values():
            future.result(20)
        return found

    def run_script(self, names: Mapping[str, str], scratch: Path) -> set[AclBinding]:
        """Run the users' file as an administrator does, with Kafka's own tool; return what the broker has then."""
        tools = Toolchain(cache_directory(), scratch / "jars.log")
        jars = ":".join(map(str, tools.kafka_tools_jars()))
        tool = scratch / "kafka-acls.sh"
        tool.write_text(
            f'#!/bin/sh\nexec "{tools.java_home()}/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "{jars}"'
            ' org.apache.kafka.tools.AclCommand "$@"\n'
        )
        tool.chmod(0o755)
        login = f'username="{ADMIN}" password="{self.passwords[ADMIN]}"'
        administrator = scratch / "admin.properties"
        administrator.write_text(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n"
            f"ssl.truststore.location={self._authority.certificate}\n"
            f"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required {login};\n"
        )
        environment = os.environ | names | {"SERVERS": self.servers, "ADMIN": str(administrator)}
        environment["PATH"] = f"{scratch}:{environment['PATH']}"
        subprocess.run(["sh", "-eu", SCRIPT], env=environment, check=True, timeout=120)
        # None is any name, which the stubs don't know.
        anything: Any = None
        every_binding = AclBindingFilter(
            ResourceType.ANY,
            anything,
            ResourcePatternType.ANY,
            anything,
            anything,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        admin = self.admin()
        found = admin.describe_acls(every_binding).result(20)
        return {one for one in found if one.name.startswith(tuple(names.values()))}

    def revoke(self, user: str, operation: str, topic: str) -> None:
        """Take a user's operation on a topic away, and wait until the authorizer knows."""
        taken = AclBindingFilter(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            _OPERATIONS[operation],
            AclPermissionType.ALLOW,
        )
        admin = self.admin()
        (answer,) = admin.delete_acls([taken]).values()
        assert len(answer.result(20)) == 1
        wait_until(lambda: not admin.describe_acls(taken).result(20), what="the right is gone")


def acls_of(script: str, names: Mapping[str, str]) -> Iterator[AclBinding]:
    """Read ``kafka-acls.sh`` commands: what the tool would add, without a JVM for each line.

    A word that is not understood is an error.
    """
    for name, value in names.items():
        script = script.replace(f"${name}", value)
    for line in script.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield from _bindings(words)


def _bindings(words: list[str]) -> Iterator[AclBinding]:
    program, servers, _, config, _, *rest = words
    assert (program, servers, config) == ("kafka-acls.sh", "--bootstrap-server", "--command-config"), words
    assert rest.pop(0) == "--add", words
    given: dict[str, list[str]] = {}
    for option, value in zip(rest[::2], rest[1::2], strict=True):
        given.setdefault(option, []).append(value)
    (principal,) = given.pop("--allow-principal")
    operations = given.pop("--operation")
    (pattern,) = given.pop("--resource-pattern-type", ["literal"])
    ((kind, (name,)),) = given.items()
    resource = {"--topic": ResourceType.TOPIC, "--group": ResourceType.GROUP}[kind]
    for operation in operations:
        yield AclBinding(
            resource,
            name,
            {"literal": ResourcePatternType.LITERAL, "prefixed": ResourcePatternType.PREFIXED}[pattern],
            principal,
            "*",
            _OPERATIONS[operation],
            AclPermissionType.ALLOW,
        )


_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
