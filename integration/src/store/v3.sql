-- Alerts that nobody has accepted yet, oldest first.
CREATE TABLE alerts (
  id INTEGER PRIMARY KEY,
  body TEXT NOT NULL
);
