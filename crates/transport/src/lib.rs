//! HTTP client with evidence.
