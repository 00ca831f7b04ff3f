-- Proofs: what ClickHouse found in a batch's files before they were published, and by which policy it read them.
-- Rows and digest of what was read from the source stand beside it, as ever.

ALTER TABLE offload_batches
    -- NULL where nothing was published, and of what was published before there were proofs.
    ADD COLUMN proof         text   CHECK (proof IN ('always', 'sampled', 'on_demand')),
    ADD COLUMN proved_files  integer CHECK (proved_files >= 0),
    -- Of all that stands in these files, rows that a batch carries over from other files included.
    ADD COLUMN proved_rows   bigint CHECK (proved_rows >= 0),
    ADD COLUMN proved_digest text   CHECK (proved_digest ~ '^[0-9a-f]{16}$'),
    ADD CONSTRAINT a_proof_is_whole CHECK (
        (proof IS NULL) = (proved_files IS NULL) AND (proof IS NULL) = (proved_rows IS NULL)
        AND (proof IS NULL) = (proved_digest IS NULL)
    );
