-- The rights of `icehaul view`, besides those of reader.sql (without its readonly = 2): it makes and replaces views over both
-- tiers. Run it as an administrator, with your own databases in the place of market.

CREATE ROLE IF NOT EXISTS icehaul_viewer;

-- The view; replacing one is dropping the former.
GRANT CREATE VIEW, DROP VIEW ON market.* TO icehaul_viewer;

-- The store's keys, which an administrator has put into the collection: the view names it, and so holds no secret.
GRANT NAMED COLLECTION ON icehaul_store TO icehaul_viewer;
