-- Rewinds: on an operator's word the watermark is set back, and rows above it leave the target table.

ALTER TABLE offload_batches DROP CONSTRAINT offload_batches_kind_check;
ALTER TABLE offload_batches ADD CONSTRAINT offload_batches_kind_check
    CHECK (kind IN ('window', 'supplement', 'replace-window', 'backfill', 'maintenance', 'rewind'));
CREATE INDEX offload_batches_withdrawn_by ON offload_batches (withdrawn_by) WHERE withdrawn_by IS NOT NULL;

-- Batches that a file belonged to before a rewind gave it to another one: where these count again, it is theirs again.
ALTER TABLE offload_files ADD COLUMN former uuid[] NOT NULL DEFAULT '{}';

-- Why rows were given up that the source did not hold any more.
ALTER TABLE offload_batches ADD COLUMN reason text CHECK (reason <> '');
ALTER TABLE offload_batches ADD CONSTRAINT a_rewind_has_a_reason CHECK (reason IS NULL OR kind = 'rewind');
