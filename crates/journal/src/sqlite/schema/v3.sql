-- Whose a call is.
CREATE INDEX placed_calls ON calls (call, account) WHERE call IS NOT NULL;
