-- The four roles, and what they may do with database and schema. Run it once, as a superuser, in the ledger's database (here:
-- icehaul); then give each role a password (\password icehaul_committer). Those that have none can't log in by password.
-- A ledger that is there already changes hands with: REASSIGN OWNED BY icehaul TO icehaul_owner;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['icehaul_owner', 'icehaul_committer', 'icehaul_reader', 'icehaul_maintenance'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', role);
        END IF;
    END LOOP;
END
$$;

-- Nobody else gets in, or makes tables or temporary ones.
REVOKE ALL ON DATABASE icehaul FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- `icehaul migrate`, and nothing else: it makes and alters the tables, which are its own then.
GRANT CONNECT ON DATABASE icehaul TO icehaul_owner;
GRANT USAGE, CREATE ON SCHEMA public TO icehaul_owner;

-- `icehaul run`, `emit`, `offload`, `resume`, `pause`, `repair`, `replay`, `backfill`, `replace`, `adopt`, `drop-hot`: no DDL.
GRANT CONNECT ON DATABASE icehaul TO icehaul_committer;
GRANT USAGE ON SCHEMA public TO icehaul_committer;

-- `icehaul status`, `plan`, `verify`, other engines that read the catalog, dashboards.
GRANT CONNECT ON DATABASE icehaul TO icehaul_reader;
GRANT USAGE ON SCHEMA public TO icehaul_reader;

-- `icehaul stream rename`, `move`, `remove`: may do what a committer may, and delete a stream's history.
GRANT CONNECT ON DATABASE icehaul TO icehaul_maintenance;
GRANT USAGE ON SCHEMA public TO icehaul_maintenance;
GRANT icehaul_committer TO icehaul_maintenance;
