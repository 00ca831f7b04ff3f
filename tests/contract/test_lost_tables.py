"""What is left of a table that the catalog has lost, by the real catalogs and by the one in memory."""

from __future__ import annotations

from typing import cast

from tests.support.cold_tier import ColdTier, IcebergColdTier, MemoryColdTier


def decides_itself(tier: ColdTier) -> bool:
    """Whether the catalog says where tables lie, so that nobody else can tell what is left there."""
    return not isinstance(tier, MemoryColdTier) and cast("IcebergColdTier", tier).settings.type == "rest"


def test_a_table_with_rows_that_the_catalog_has_lost_has_left_its_metadata(tier: ColdTier) -> None:
    tier.publish(tier.begin())
    tier.drop()
    assert (tier.catalog.remains(tier.stream.target) is None) == decides_itself(tier)


def test_a_table_that_never_had_rows_has_left_nothing(tier: ColdTier) -> None:
    tier.begin()
    tier.drop()
    assert tier.catalog.remains(tier.stream.target) is None
