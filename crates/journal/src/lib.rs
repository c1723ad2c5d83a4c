//! Attempt journal.
