"""The use cases of operators' commands, on the servers of one process."""

from __future__ import annotations

from functools import cached_property

from consumer.adapters.clickhouse.event_objects import EventObjects
from consumer.adapters.clickhouse.independent import IndependentStatement
from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.adapters.clickhouse.shards import refuse_cluster
from consumer.adapters.clickhouse.views import INLINE, ClickHouseViews
from consumer.adapters.iceberg.census import IcebergFiles
from consumer.adapters.kafka.letter_box import KafkaLetterBox, decode_letter
from consumer.adapters.postgres.attempts import PostgresAttempts
from consumer.adapters.postgres.origins import PostgresOrigins
from consumer.adapters.postgres.repairs import PostgresRepairs
from consumer.adapters.postgres.rewinds import PostgresRewinds
from consumer.bootstrap.maintaining import Maintaining
from consumer.service.actions import Actions
from consumer.service.adoption.adoptions import Adoptions
from consumer.service.audit.auditor import Auditor
from consumer.service.backfill.requests import BackfillRequests
from consumer.service.cut import Cuts
from consumer.service.dropping.drops import HotDrops
from consumer.service.dropping.review import Review
from consumer.service.follow import Follower
from consumer.service.letters import Letters
from consumer.service.origins import Origins
from consumer.service.preview import Previewer
from consumer.service.registry.changes import StreamChanges
from consumer.service.repair.repairer import Repairs
from consumer.service.replacing.replacing import Replacements
from consumer.service.replacing.review import Review as ReplacementReview
from consumer.service.restoring.restores import Restores
from consumer.service.restoring.review import Review as RestoreReview
from consumer.service.rewinding.review import Review as RewindReview
from consumer.service.rewinding.rewinds import Rewinds
from consumer.service.states import StreamStates
from consumer.service.status import Statuses
from consumer.service.takeover import Takeovers
from consumer.service.verify import Verifier
from consumer.service.verifying.independent import IndependentCheck
from consumer.service.view import Views


class Commands(Maintaining):
    """What commands do, built when it is first asked for."""

    @cached_property
    def actions(self) -> Actions:
        """Records operators' actions."""
        return Actions(self.action_log)

    @cached_property
    def backfill_requests(self) -> BackfillRequests:
        """Checks and records what is to be backfilled."""
        return BackfillRequests(
            source=self.source, ledger=self.ledger, backfills=self.backfills, failpoints=self.failpoints
        )

    @cached_property
    def letters(self) -> Letters:
        """Looks at dead letters, and sends them again."""
        box = KafkaLetterBox(self.configuration.kafka)
        self._closing.callback(box.close)
        return Letters(box=box, decode=decode_letter, streams=self.streams.keys(), failpoints=self.failpoints)

    def event_objects(self, database: str, collection: str) -> EventObjects:
        """Return what writes the statements by which ClickHouse makes events itself, in this database."""
        settings = self.configuration
        refuse_cluster(settings.clickhouse, "ClickHouse as an emitter", "use icehaul's own emitter: icehaul emit")
        server = ClickHouseIntrospection(settings.clickhouse)
        self._closing.callback(server.close)
        return EventObjects(
            server, self.inventory, settings.kafka, settings.emitter, database=database, collection=collection
        )

    @cached_property
    def statuses(self) -> Statuses:
        """Reads where streams stand."""
        return Statuses(source=self.source, ledger=self.ledger, backfills=self.backfills)

    @cached_property
    def states(self) -> StreamStates:
        """Pauses and resumes streams."""
        return StreamStates(ledger=self.ledger, failpoints=self.failpoints)

    @cached_property
    def follower(self) -> Follower:
        """Follows ticks to their commits."""
        return Follower(streams=self.streams, source=self.source, ledger=self.ledger)

    @cached_property
    def previewer(self) -> Previewer:
        """Plans without doing."""
        return Previewer(
            source=self.source,
            ledger=self.ledger,
            backfills=self.backfills,
            catalog=self.catalog,
            writer=self.configuration.spark.writer,
        )

    @cached_property
    def verifier(self) -> Verifier:
        """Compares both tiers."""
        return Verifier(source=self.source, ledger=self.ledger, catalog=self.catalog, dropped=self.drop_log.dropped)

    @cached_property
    def independent_check(self) -> IndependentCheck:
        """Writes the statement by which others compare both tiers."""
        writer = IndependentStatement(self.configuration.clickhouse, self.configuration.store)
        self._closing.callback(writer.close)
        return IndependentCheck(
            source=self.source, ledger=self.ledger, catalog=self.catalog, verifier=self.verifier, writer=writer
        )

    @cached_property
    def cuts(self) -> Cuts:
        """Finds and tags consistent cuts."""
        return Cuts(self.catalog)

    def views(self, collection: str) -> Views:
        """Return what makes views over both tiers, with the store's keys in this named collection."""
        server = ClickHouseViews(self.configuration.clickhouse, self.configuration.store, collection)
        self._closing.callback(server.close)
        return Views(source=self.source, ledger=self.ledger, catalog=self.catalog, tables=self.catalog, server=server)

    @cached_property
    def auditor(self) -> Auditor:
        """Checks everything that has to be true of a stream."""
        settings = self.configuration
        files = IcebergFiles(database=self.database, catalog=settings.catalog, store=settings.store)
        self._closing.callback(files.close)
        return Auditor(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            attempts=PostgresAttempts(self.database),
            files=files,
            verifier=self.verifier,
        )

    @cached_property
    def origins(self) -> Origins:
        """Finds what snapshots, batches and events go back to."""
        return Origins(recorded=PostgresOrigins(self.database), snapshots=self.catalog, streams=self.streams)

    @cached_property
    def repairs(self) -> Repairs:
        """Makes ledgers follow their tables."""
        settings = self.configuration
        return Repairs(
            source=self.source,
            ledger=self.ledger,
            repairs=PostgresRepairs(self.database),
            catalog=self.catalog,
            files=IcebergFiles(database=self.database, catalog=settings.catalog, store=settings.store),
            attempts=PostgresAttempts(self.database),
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def takeovers(self) -> Takeovers:
        """Takes over watermarks of former writers."""
        return Takeovers(ledger=self.ledger, adoptions=self.adoptions)

    @cached_property
    def adoptions(self) -> Adoptions:
        """Adopts tables that other tools have filled."""
        return Adoptions(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def drop_review(self) -> Review:
        """Looks at what would be dropped from the hot tier."""
        return Review(
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            partitions=self.partitions,
            views=self.views(INLINE).names,
        )

    @cached_property
    def hot_drops(self) -> HotDrops:
        """Drops partitions from the hot tier."""
        return HotDrops(
            review=self.drop_review,
            ledger=self.ledger,
            log=self.drop_log,
            partitions=self.partitions,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def stream_changes(self) -> StreamChanges:
        """Renames, removes and moves streams."""
        return StreamChanges(
            streams=self.streams,
            ledger=self.ledger,
            catalog=self.catalog,
            register=self.register,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def replacement_review(self) -> ReplacementReview:
        """Looks at what would be replaced in the cold tier."""
        return ReplacementReview(
            source=self.source, ledger=self.ledger, catalog=self.catalog, dropped=self.drop_log.windows
        )

    @cached_property
    def replacements(self) -> Replacements:
        """Replaces rows of the cold tier."""
        return Replacements(
            streams=self.streams,
            review=self.replacement_review,
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def rewind_review(self) -> RewindReview:
        """Looks at what a rewind would take out of the cold tier."""
        return RewindReview(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            rewinds=PostgresRewinds(self.database),
            catalog=self.catalog,
            dropped=self.drop_log.windows,
        )

    @cached_property
    def rewinds(self) -> Rewinds:
        """Sets streams back."""
        return Rewinds(
            streams=self.streams,
            review=self.rewind_review,
            rewinds=PostgresRewinds(self.database),
            source=self.source,
            ledger=self.ledger,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )

    @cached_property
    def restore_review(self) -> RestoreReview:
        """Looks at what would be restored from the cold tier."""
        return RestoreReview(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            past=self.catalog,
            drops=self.drop_log,
            server=self.restoring,
        )

    @cached_property
    def restores(self) -> Restores:
        """Restores rows of the cold tier into ClickHouse."""
        return Restores(
            review=self.restore_review,
            ledger=self.ledger,
            drops=self.drop_log,
            server=self.restoring,
            owner=self.owner,
            lease=self.lease,
            failpoints=self.failpoints,
        )
