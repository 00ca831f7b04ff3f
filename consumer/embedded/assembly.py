"""Builds the components of a plan."""

from __future__ import annotations

from consumer.embedded.component import Component, ComponentName
from consumer.embedded.hot_tier import HotTier
from consumer.embedded.kafka import Kafka
from consumer.embedded.layout import Layout
from consumer.embedded.object_store import ObjectStore
from consumer.embedded.plan import Plan
from consumer.embedded.postgres import Postgres
from consumer.embedded.toolchain import Toolchain


def build_component(name: ComponentName, plan: Plan, layout: Layout, toolchain: Toolchain) -> Component:
    """The component of this name, at its planned ports, in its own directory."""
    home = layout.component_home(name)
    home.mkdir(exist_ok=True)
    log_file = layout.component_log(name)
    match name:
        case ComponentName.CLICKHOUSE:
            return HotTier(home, log_file, plan.clickhouse)
        case ComponentName.KAFKA:
            port, controller_port = plan.ports[name]
            return Kafka(home, log_file, port=port, controller_port=controller_port, toolchain=toolchain)
        case ComponentName.POSTGRES:
            return Postgres(home, log_file, plan.postgres)
        case ComponentName.STORE:
            bucket = plan.rest_catalog.warehouse.removeprefix("s3://")
            return ObjectStore(home, log_file, endpoint=plan.store, ports=plan.store_ports, table_bucket=bucket)
