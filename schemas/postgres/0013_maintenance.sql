-- Maintenance: when each task last found nothing more to do in a stream's target. The tasks' batches are of a kind that
-- has been there since the first migration.

CREATE TABLE offload_maintenance (
    stream text        NOT NULL REFERENCES offload_watermarks (stream) ON UPDATE CASCADE ON DELETE CASCADE,
    task   text        NOT NULL,
    looked timestamptz NOT NULL,
    epoch  bigint      NOT NULL CHECK (epoch > 0),
    PRIMARY KEY (stream, task)
);

-- Rewrites that nobody has ended: there are never many.
CREATE INDEX offload_batches_of_maintenance_under_way ON offload_batches (stream)
    WHERE kind = 'maintenance' AND status = 'writing';
