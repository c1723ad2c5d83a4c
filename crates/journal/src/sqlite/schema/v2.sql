-- What the reply of a placement said: the provider's id of the call, and its status then.
ALTER TABLE calls ADD COLUMN call TEXT;
ALTER TABLE calls ADD COLUMN said TEXT;

-- Calls that events were heard of, by their provider's id, with the state folded from the events. No phone number is kept here.
CREATE TABLE heard_calls (
    id          INTEGER PRIMARY KEY,
    account     TEXT NOT NULL,
    call        TEXT NOT NULL,
    -- The key in the signed part of an event; NULL where no event had one.
    key         TEXT,
    status      TEXT NOT NULL,
    is_over     INTEGER NOT NULL CHECK (is_over IN (0, 1)),
    since       TEXT NOT NULL,
    heard_ms    INTEGER NOT NULL,
    UNIQUE (account, call)
) STRICT;

-- What the state rests on, and what tells a repeat. Times as the provider wrote them.
CREATE TABLE events (
    call        INTEGER NOT NULL REFERENCES heard_calls (id) ON DELETE CASCADE,
    event       TEXT NOT NULL,
    created     TEXT NOT NULL,
    status      TEXT NOT NULL,
    ended       TEXT,
    duration_ns INTEGER,
    cost        TEXT,
    currency    TEXT,
    heard_ms    INTEGER NOT NULL,
    PRIMARY KEY (call, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX heard_by_age ON heard_calls (heard_ms, is_over);
