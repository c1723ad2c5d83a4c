//! Voice APIs, pure.
