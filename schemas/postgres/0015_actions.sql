-- What operators did by commands and by the console: two rows for each action, one before it and one after it. No role of
-- ops/security/postgres may change or remove one. database_user is who the server knows, operator who the client says.

CREATE TABLE offload_actions (
    entry         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action_id     uuid        NOT NULL,
    phase         text        NOT NULL CHECK (phase IN ('begun', 'done', 'failed')),
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    database_user text        NOT NULL DEFAULT session_user,
    operator      text        NOT NULL,
    command       text        NOT NULL,
    streams       text[]      NOT NULL,
    arguments     jsonb       NOT NULL CHECK (jsonb_typeof(arguments) = 'object'),
    reason        text        NOT NULL,
    detail        text        NOT NULL
);

CREATE INDEX offload_actions_action ON offload_actions (action_id);
