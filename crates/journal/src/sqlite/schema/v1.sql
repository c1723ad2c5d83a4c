-- Times end in their unit: _ms and _ns since 1970 in UTC.
CREATE TABLE calls (
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,
    account     TEXT NOT NULL,
    detail      BLOB NOT NULL,
    fence_ns    INTEGER NOT NULL,
    -- held: a running process has it; left: open, the outcome is unknown; settled: it has its answer; free.
    state       TEXT NOT NULL CHECK (state IN ('held', 'left', 'settled', 'free')),
    class       TEXT CHECK (class IN ('accepted', 'rejected')),
    reply       BLOB,
    last_number INTEGER NOT NULL,
    -- How often the key was claimed, and the attempts of the latest claim.
    claims      INTEGER NOT NULL,
    tried       INTEGER NOT NULL,
    claimed_ms  INTEGER NOT NULL,
    changed_ms  INTEGER NOT NULL,
    CHECK ((class IS NOT NULL) = (state = 'settled'))
) STRICT;

CREATE TABLE attempts (
    call     INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    claim    INTEGER NOT NULL,
    account  TEXT NOT NULL,
    -- NULL while in flight; given_up: the key was freed under it after its fence, and claimed again.
    class    TEXT CHECK (class IN ('unsent', 'deferred', 'rejected', 'rejected_account', 'accepted', 'ambiguous', 'given_up')),
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    PRIMARY KEY (call, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_attempt_in_flight ON attempts (call) WHERE class IS NULL;
CREATE INDEX open_calls ON calls (key, state, tried, fence_ns) WHERE state IN ('held', 'left');
CREATE INDEX ended_calls ON calls (changed_ms, state, class) WHERE state IN ('settled', 'free');

CREATE TRIGGER an_answer_stays BEFORE UPDATE OF class ON calls
WHEN OLD.class IS NOT NULL AND NEW.class IS NOT OLD.class
BEGIN
    SELECT raise(ABORT, 'the key has another answer, which stays');
END;
