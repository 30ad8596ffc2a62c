-- Instants are milliseconds since the Unix epoch.

CREATE TABLE events (
  identity TEXT PRIMARY KEY,
  deal_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  occurred_ms INTEGER NOT NULL,
  received_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_received ON events(received_ms);

CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  deal_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'parked')),
  due_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  owner TEXT,
  lease_ms INTEGER,
  verify INTEGER NOT NULL DEFAULT 0,
  overlay TEXT NOT NULL DEFAULT '{}',
  reason TEXT,
  created_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX jobs_queued ON jobs(deal_id) WHERE state = 'queued';
CREATE UNIQUE INDEX jobs_leased ON jobs(deal_id) WHERE state = 'leased';
CREATE INDEX jobs_due ON jobs(state, due_ms, id);
CREATE INDEX jobs_deal ON jobs(deal_id);

CREATE TABLE deals (
  deal_id TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  step TEXT NOT NULL,
  email TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  closed_s INTEGER,
  customer_id TEXT,
  invoice_id TEXT,
  source_ms INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE write_keys (
  subject TEXT NOT NULL,
  revision INTEGER NOT NULL,
  step TEXT NOT NULL,
  digest TEXT NOT NULL,
  generation INTEGER NOT NULL,
  key TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (subject, revision, step, digest)
) WITHOUT ROWID;

CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY,
  deal_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  payload TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  replayed_ms INTEGER
);

CREATE INDEX dead_letters_deal ON dead_letters(deal_id) WHERE replayed_ms IS NULL;

CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  subject TEXT NOT NULL,
  reason TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_ms INTEGER NOT NULL
);

CREATE TABLE tokens (
  vendor TEXT PRIMARY KEY,
  seed TEXT NOT NULL,
  refresh TEXT NOT NULL,
  access TEXT,
  expires_ms INTEGER NOT NULL DEFAULT 0,
  lifetime_ms INTEGER NOT NULL DEFAULT 0,
  refused TEXT
) WITHOUT ROWID;

CREATE TABLE cursors (name TEXT PRIMARY KEY, position_ms INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
