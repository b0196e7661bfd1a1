-- A checksum over each row: see `checksum.rs`.
--
-- A process of an older version that has the file open writes no checksums. So its leases end here, and as the column
-- has another name it can take no others.

ALTER TABLE awaitly_runs RENAME COLUMN owner_lock TO owner_file;
UPDATE awaitly_runs SET token = token + 1, owner = NULL, owner_file = NULL, lease_until = 0 WHERE owner IS NOT NULL;

ALTER TABLE awaitly_runs ADD COLUMN body_checksum INTEGER; -- over what is large
ALTER TABLE awaitly_runs ADD COLUMN checksum INTEGER;      -- over all other columns and `body_checksum`
ALTER TABLE awaitly_steps ADD COLUMN checksum INTEGER;
ALTER TABLE awaitly_waits ADD COLUMN checksum INTEGER;
ALTER TABLE awaitly_next ADD COLUMN checksum INTEGER;

UPDATE awaitly_runs SET body_checksum = awaitly_checksum(input, input_fingerprint, outcome_kind, outcome);
UPDATE awaitly_runs SET checksum = awaitly_checksum(id, run_id, workflow, version, format, status, failed_on, token,
    owner, owner_file, lease_until, error, created_at, changed_at, wake_at, cancel_requested, body_checksum);
UPDATE awaitly_steps SET checksum =
    awaitly_checksum(run, key, seq, kind, payload, input_fingerprint, recorded_at);
UPDATE awaitly_waits SET checksum = awaitly_checksum(run, key, token, request, since, expires_at);
UPDATE awaitly_next SET checksum = awaitly_checksum(run);
